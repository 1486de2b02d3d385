// Vectors into codes, and into lists.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "segment.h"

namespace slatewise {

float quantise(const float* vector, int64_t dim, int groups, int8_t* out) {
    float largest = 0;
    for (int64_t d = 0; d < dim; ++d) largest = std::max(largest, std::fabs(vector[d]));
    std::memset(out, 0, static_cast<size_t>(groups) * 4);
    const float scale = largest / 127;
    // A scale too small to divide by (subnormal vectors) is as good as zero.
    if (!(scale > std::numeric_limits<float>::min())) return 0;
    const float factor = 1 / scale;
    for (int64_t d = 0; d < dim; ++d) {
        const float code = vector[d] * factor;
        out[d] = static_cast<int8_t>(std::lrintf(std::min(127.0f, std::max(-127.0f, code))));
    }
    return scale;
}

namespace {

void write_lane(const int8_t* code, int groups, uint8_t* block, int lane) {
    for (int g = 0; g < groups; ++g) {
        uint8_t four[4];
        for (int i = 0; i < 4; ++i) four[i] = static_cast<uint8_t>(code[g * 4 + i] + 128);
        std::memcpy(block + (g * LANES + lane) * 4, four, 4);
    }
}

}  // namespace

void place(const float* from, const int64_t* sources, const int64_t* targets, int64_t count, const Segment& to) {
    const int groups = groups_of(to.dim);
    std::vector<int8_t> code(static_cast<size_t>(groups) * 4);
    for (int64_t i = 0; i < count; ++i) {
        const float* vector = from + (sources == nullptr ? i : sources[i]) * to.dim;
        const int64_t at = targets[i];
        to.scales[at] = quantise(vector, to.dim, groups, code.data());
        write_lane(code.data(), groups, to.codes + at / LANES * block_bytes(groups), static_cast<int>(at % LANES));
        std::memcpy(to.vectors + at * to.dim, vector, static_cast<size_t>(to.dim) * sizeof(float));
    }
}

void assign(const float* vectors, int64_t count, int64_t dim, const uint8_t* codes, const float* scales, int64_t lists,
            int32_t* out, const Instructions& cpu) {
    const int groups = groups_of(dim);
    const int64_t blocks = (lists + LANES - 1) / LANES;
    std::vector<int8_t> queries(static_cast<size_t>(groups) * 4 * 8);
    for (int64_t i = 0; i < count; i += 8) {
        const int now = static_cast<int>(std::min<int64_t>(8, count - i));
        int32_t biases[8], at[8];
        float best[8];
        for (int j = 0; j < 8; ++j) {
            int8_t* query = queries.data() + j * groups * 4;
            quantise(vectors + (i + std::min(j, now - 1)) * dim, dim, groups, query);
            int32_t sum = 0;
            for (int d = 0; d < groups * 4; ++d) sum += query[d];
            biases[j] = -128 * sum;
            best[j] = -std::numeric_limits<float>::infinity();
            at[j] = 0;
        }
        cpu.nearest8(codes, scales, blocks, groups, queries.data(), biases, best, at);
        // A lane of padding scores 0, which can be the best only where all products are negative.
        for (int j = 0; j < now; ++j) out[i + j] = std::min(at[j], static_cast<int32_t>(lists - 1));
    }
}

void layout(const int32_t* list_of, int64_t count, int64_t lists, int64_t* offsets, int64_t* positions) {
    std::vector<int64_t> size(static_cast<size_t>(lists), 0);
    for (int64_t i = 0; i < count; ++i) ++size[static_cast<size_t>(list_of[i])];
    offsets[0] = 0;
    for (int64_t l = 0; l < lists; ++l) {
        offsets[l + 1] = offsets[l] + (size[static_cast<size_t>(l)] + LANES - 1) / LANES;
        size[static_cast<size_t>(l)] = offsets[l] * LANES;
    }
    for (int64_t i = 0; i < count; ++i) positions[i] = size[static_cast<size_t>(list_of[i])]++;
}

}  // namespace slatewise
