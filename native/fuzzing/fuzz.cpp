// Random segments, lists and searches against plain loops: run under the address and undefined-behaviour sanitizers by
// `make sanitize`. Every array is allocated to its exact size, so that one step too far is seen. Not part of the build.
//
//     fuzz [rounds] [seed]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "segment.h"

using namespace slatewise;

namespace {

std::mt19937_64 source;

int64_t below(int64_t end) { return static_cast<int64_t>(source() % static_cast<uint64_t>(end)); }

float number() {
    switch (below(20)) {
        case 0: return 0;
        case 1: return 1e-40f;
        case 2: return static_cast<float>(below(3)) * 1e18f;
        default: return static_cast<float>(below(2001) - 1000) / 500;
    }
}

struct Held {
    std::vector<uint8_t> codes;
    std::vector<float> scales, vectors;
    std::vector<int32_t> rows;
    std::vector<int64_t> deaths;
    std::vector<uint16_t> hints;
    Segment segment;

    Held(int64_t blocks, int64_t dim)
        : codes(static_cast<size_t>(blocks * block_bytes(groups_of(dim)))),
          scales(static_cast<size_t>(blocks * LANES)),
          vectors(static_cast<size_t>(blocks * LANES * dim)),
          rows(static_cast<size_t>(blocks * LANES), -1),
          deaths(static_cast<size_t>(blocks * LANES), 0),
          hints(static_cast<size_t>(blocks), 0xFFFF),
          segment{codes.data(), scales.data(), vectors.data(), rows.data(), deaths.data(), hints.data(), blocks, dim} {}
};

void fail(const char* what, const char* set) {
    std::fprintf(stderr, "%s with %s\n", what, set);
    std::exit(1);
}

void round_of(const Instructions& cpu) {
    const int64_t dim = 1 + below(70), size = below(400), lists = 1 + below(9), at = 5;
    std::vector<float> vectors(static_cast<size_t>(size * dim));
    for (float& value : vectors) value = number();
    std::vector<int32_t> list_of(static_cast<size_t>(size));
    std::vector<float> centroids(static_cast<size_t>(lists * dim));
    for (float& value : centroids) value = number();
    const int64_t list_blocks = (lists + LANES - 1) / LANES;
    Held means(list_blocks, dim);
    std::vector<int64_t> ordinals(static_cast<size_t>(lists));
    for (int64_t l = 0; l < lists; ++l) ordinals[static_cast<size_t>(l)] = l;
    place(centroids.data(), nullptr, ordinals.data(), lists, means.segment);
    assign(vectors.data(), size, dim, means.codes.data(), means.scales.data(), lists, list_of.data(), cpu);
    for (const int32_t list : list_of)
        if (list < 0 || list >= lists) fail("a list that is none", cpu.name);

    std::vector<int64_t> offsets(static_cast<size_t>(lists + 1)), targets(static_cast<size_t>(size));
    layout(list_of.data(), size, lists, offsets.data(), targets.data());
    Held base(offsets.back(), dim);
    place(vectors.data(), nullptr, targets.data(), size, base.segment);
    const int64_t fresh_size = below(40), length = fresh_size == 0 ? 0 : below(fresh_size + 1);
    Held fresh((fresh_size + LANES - 1) / LANES, dim);
    std::vector<float> newer(static_cast<size_t>(fresh_size * dim));
    for (float& value : newer) value = number();
    std::vector<int64_t> slots(static_cast<size_t>(fresh_size));
    for (int64_t i = 0; i < fresh_size; ++i) slots[static_cast<size_t>(i)] = i;
    place(newer.data(), nullptr, slots.data(), fresh_size, fresh.segment);

    struct Right {
        int64_t row;
        float score;
    };
    std::vector<float> query(static_cast<size_t>(dim)), spread(static_cast<size_t>(lists), 0.0f);
    for (float& value : query) value = number();
    std::vector<uint8_t> bytes(static_cast<size_t>(below(size + fresh_size + 50)));
    for (uint8_t& byte : bytes) byte = below(3) != 0;
    static const uint8_t none = 0;
    const bool filtered = below(2) == 0;
    const Allow allow{filtered ? (bytes.empty() ? &none : bytes.data()) : nullptr, static_cast<int64_t>(bytes.size())};
    std::vector<Right> right;
    std::vector<int64_t> position_of(static_cast<size_t>(size + fresh_size), -1);
    const auto settle = [&](Held& held, int64_t position, int64_t row, const float* vector, bool shown, int64_t offset) {
        held.rows[static_cast<size_t>(position)] = static_cast<int32_t>(row);
        const bool dead = below(5) == 0;
        held.deaths[static_cast<size_t>(position)] = dead ? below(at + 1) : (below(9) == 0 ? at + 1 : INT64_MAX);
        const bool hinted = held.deaths[static_cast<size_t>(position)] != INT64_MAX;
        if (!hinted) held.hints[static_cast<size_t>(position / LANES)] &= static_cast<uint16_t>(~(1u << position % LANES));
        position_of[static_cast<size_t>(row)] = position + offset;
        if (!dead && shown && allow(row)) right.push_back({row, cpu.dot(query.data(), vector, dim)});
    };
    for (int64_t i = 0; i < size; ++i) settle(base, targets[static_cast<size_t>(i)], i, &vectors[static_cast<size_t>(i * dim)], true, 0);
    for (int64_t i = 0; i < fresh_size; ++i)
        settle(fresh, i, size + i, &newer[static_cast<size_t>(i * dim)], i < length, base.segment.positions());

    const Lists held_lists{means.codes.data(), means.scales.data(), spread.data(), offsets.data(), lists};
    const Shown shown{&base.segment, &held_lists, &fresh.segment, length, at};
    const int64_t k = 1 + below(size + 20);
    std::sort(right.begin(), right.end(),
              [](const Right& a, const Right& b) { return a.score != b.score ? a.score > b.score : a.row < b.row; });
    right.resize(std::min(right.size(), static_cast<size_t>(k)));
    std::vector<int64_t> rows(static_cast<size_t>(k)), earlier(fresh.rows.size(), -1);
    std::vector<float> scores(static_cast<size_t>(k));
    for (const bool by_row : {false, true}) {
        const int64_t found =
            by_row ? search_allowed(shown, query.data(), allow, position_of.data(),
                                    static_cast<int64_t>(position_of.size()), earlier.data(), k, rows.data(),
                                    scores.data(), cpu)
                   : search(shown, query.data(), allow, {k, size + fresh_size + k, lists, 0}, rows.data(),
                            scores.data(), cpu);
        if (found != static_cast<int64_t>(right.size())) fail("another number of rows", cpu.name);
        for (size_t i = 0; i < right.size(); ++i)
            if (rows[i] != right[i].row || !(scores[i] == right[i].score)) fail("another row or score", cpu.name);
    }
    // A few lists and a short list: whatever is found must be allowed, distinct and in order.
    const int64_t some =
        search(shown, query.data(), allow, {k, k, 1, below(50)}, rows.data(), scores.data(), cpu);
    for (int64_t i = 0; i < some; ++i) {
        if (!allow(rows[static_cast<size_t>(i)])) fail("a row that is not allowed", cpu.name);
        if (i > 0 && scores[static_cast<size_t>(i)] > scores[static_cast<size_t>(i - 1)]) fail("disorder", cpu.name);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const long rounds = argc > 1 ? std::atol(argv[1]) : 2000;
    source.seed(argc > 2 ? static_cast<uint64_t>(std::atoll(argv[2])) : 1);
    for (const char* name : {"avx512-vnni", "avx2", "neon-dotprod", "portable"}) {
        const Instructions* cpu = instructions(name);
        if (cpu == nullptr) continue;
        for (long i = 0; i < rounds; ++i) round_of(*cpu);
        std::printf("%s: %ld rounds\n", name, rounds);
    }
    return 0;
}
