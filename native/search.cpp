// A search: the codes of some lists are scanned into a short list, whose exact products decide.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "segment.h"

namespace slatewise {
namespace {

constexpr int64_t WIDER = 4;
constexpr size_t NEAREST = 32;      // lists that are scanned in order, so that the threshold rises early
constexpr size_t THIN = 16;         // one list in so many tells where the score of the last one to scan lies
constexpr int64_t SPARSE = 4;        // one block in so many tells how many rows of a list a filter permits
constexpr int64_t AHEAD = 64;       // blocks of the next list that are fetched while a list is scanned
constexpr float LOWEST = -std::numeric_limits<float>::infinity();

struct Candidate {
    float score;
    int32_t position;  // of the base; fresh ones follow it
};

struct Found {
    float score;
    int32_t row;
};

inline bool better(const Found& a, const Found& b) { return a.score != b.score ? a.score > b.score : a.row < b.row; }

// Keeps at least the best `size` of what it is given: collects twice as many, then cuts back.
class Shortlist {
  public:
    explicit Shortlist(int64_t size) : size_(static_cast<size_t>(size)) { kept_.reserve(2 * size_ + 64); }
    float above = LOWEST;  // what a further candidate has to beat

    void add(float score, int32_t position) {
        kept_.push_back({score, position});
        if (kept_.size() >= 2 * size_ + 64) cut();
    }
    void cut() {
        if (kept_.size() <= size_) return;
        const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(size_) - 1;
        std::nth_element(kept_.begin(), last, kept_.end(), [](const Candidate& a, const Candidate& b) {
            return a.score != b.score ? a.score > b.score : a.position < b.position;
        });
        above = last->score;
        kept_.resize(size_);
    }
    bool is_full() const { return kept_.size() >= size_; }
    const std::vector<Candidate>& kept() const { return kept_; }

  private:
    size_t size_;
    std::vector<Candidate> kept_;
};

bool is_alive(const Segment& segment, int64_t position, int64_t at) {
    return (segment.hints[position / LANES] >> (position % LANES) & 1) == 0 || segment.deaths[position] > at;
}

// What one scan needs, apart from where.
struct Scan {
    const Query& query;
    const Allow& allow;
    const Instructions& cpu;
    int64_t at;

    void operator()(const Segment& segment, int64_t first, int64_t end, int64_t length, int64_t offset,
                    Shortlist& into) const {
        Hit hits[CHUNK];
        for (int64_t b = first; b < end; b += CHUNK) {
            const int count = static_cast<int>(std::min<int64_t>(CHUNK, end - b));
            const int found = cpu.scan(segment.codes, segment.scales, b, count, query, into.above, hits);
            for (int h = 0; h < found; ++h) take(segment, hits[h], length, offset, into);
        }
    }

  private:
    void take(const Segment& segment, const Hit& hit, int64_t length, int64_t offset, Shortlist& into) const {
        for (uint32_t lanes = hit.lanes; lanes != 0; lanes &= lanes - 1) {
            const int lane = __builtin_ctz(lanes);
            const int64_t position = static_cast<int64_t>(hit.block) * LANES + lane;
            if (!(hit.scores[lane] > into.above) || position >= length) continue;
            if (!is_alive(segment, position, at)) continue;
            if (allow.bytes != nullptr && !allow(segment.rows[position])) continue;
            into.add(hit.scores[lane], static_cast<int32_t>(position + offset));
        }
    }
};

// A list and what it promises for the query.
struct Ranked {
    float score;
    int32_t list;
};

inline bool promises_more(const Ranked& a, const Ranked& b) { return a.score > b.score; }
inline bool lies_before(const Ranked& a, const Ranked& b) { return a.list < b.list; }

// Every list with what it promises, in no order.
std::vector<Ranked> rank_lists(const Lists& lists, const Query& query, float query_scale, float length,
                               const Instructions& cpu) {
    std::vector<Ranked> ranked(static_cast<size_t>(lists.count));
    const int64_t blocks = (lists.count + LANES - 1) / LANES;
    Hit hits[CHUNK];
    for (int64_t b = 0; b < blocks; b += CHUNK) {
        const int count = static_cast<int>(std::min<int64_t>(CHUNK, blocks - b));
        const int found = cpu.scan(lists.codes, lists.scales, b, count, query, LOWEST, hits);
        for (int h = 0; h < found; ++h) {
            const int64_t start = static_cast<int64_t>(hits[h].block) * LANES;
            for (int64_t l = start; l < std::min(start + LANES, lists.count); ++l) {
                const float score = hits[h].scores[l - start] * query_scale + lists.spread[l] * length;
                ranked[static_cast<size_t>(l)] = {score, static_cast<int32_t>(l)};
            }
        }
    }
    return ranked;
}

// Bring the `count` lists of [from, end) that promise most to the front: the first few in order, the others in the order
// in which they lie in memory.
void select(std::vector<Ranked>& ranked, size_t from, size_t count) {
    const auto begin = ranked.begin() + static_cast<std::ptrdiff_t>(from);
    auto end = ranked.end();
    const size_t all = ranked.size() - from;
    if (count * 2 < all && all >= THIN * THIN) {
        // Most lists can be left out by the look of a few.
        std::vector<float> thin;
        for (size_t l = from; l < ranked.size(); l += THIN) thin.push_back(ranked[l].score);
        const auto about = thin.begin() + static_cast<std::ptrdiff_t>(std::min(thin.size() - 1, count * 5 / (4 * THIN) + 4));
        std::nth_element(thin.begin(), about, thin.end(), std::greater<float>());
        const float least = *about;
        const auto rest = std::partition(begin, end, [least](const Ranked& one) { return one.score >= least; });
        if (rest - begin >= static_cast<std::ptrdiff_t>(count)) end = rest;
    }
    const auto last = begin + static_cast<std::ptrdiff_t>(count);
    if (last < end) std::nth_element(begin, last - 1, end, promises_more);
    const auto nearest = begin + static_cast<std::ptrdiff_t>(std::min(NEAREST, count));
    std::partial_sort(begin, nearest, last, promises_more);
    std::sort(nearest, last, lies_before);
}

int64_t best_of(std::vector<Found>& found, int64_t k, int64_t* rows, float* scores) {
    const size_t kept = std::min(found.size(), static_cast<size_t>(k));
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept), found.end(), better);
    for (size_t i = 0; i < kept; ++i) {
        rows[i] = found[i].row;
        scores[i] = found[i].score;
    }
    return static_cast<int64_t>(kept);
}

// Where the vector and the row of a position over both segments are.
struct Both {
    const Shown& shown;
    int64_t base_positions;
    explicit Both(const Shown& s) : shown(s), base_positions(s.base->positions()) {}
    const float* vector(int64_t position) const {
        const bool fresh = position >= base_positions;
        const Segment& segment = fresh ? *shown.fresh : *shown.base;
        return segment.vectors + (fresh ? position - base_positions : position) * segment.dim;
    }
    int32_t row(int64_t position) const {
        const bool fresh = position >= base_positions;
        return (fresh ? *shown.fresh : *shown.base).rows[fresh ? position - base_positions : position];
    }
    bool is_shown(int64_t position) const {
        if (position < base_positions) return is_alive(*shown.base, position, shown.at);
        const int64_t at = position - base_positions;
        return at < shown.length && is_alive(*shown.fresh, at, shown.at);
    }
};

void fetch(const float* vector, int64_t dim) {
    for (int64_t d = 0; d < dim; d += 16) __builtin_prefetch(vector + d);
}

template <class T>
void fetch(const T* line, const T* end) {
    for (; line < end; line += 64 / sizeof(T)) __builtin_prefetch(line, 0, 2);
}

// Ask for the blocks of a list that is scanned next: lists are too short for the processor to see their streams.
void fetch(const Segment& segment, int64_t first, int64_t end) {
    const int64_t bytes = block_bytes(groups_of(segment.dim));
    end = std::min(end, first + AHEAD);
    fetch(segment.codes + first * bytes, segment.codes + end * bytes);
    fetch(segment.scales + first * LANES, segment.scales + end * LANES);
}

// About how many allowed rows lie in these blocks: one lane of some of them is looked at.
int64_t allowed_in(const Segment& segment, const Allow& allow, int64_t first, int64_t end) {
    int64_t seen = 0;
    for (int64_t b = first; b < end; b += SPARSE) seen += allow(segment.rows[b * LANES + b / SPARSE % LANES]) * std::min(SPARSE, end - b);
    return seen * LANES;
}

}  // namespace

int64_t search(const Shown& shown, const float* query, const Allow& allow, const Effort& effort, int64_t* rows,
               float* scores, const Instructions& cpu) {
    const int64_t dim = shown.base->dim;
    const int groups = groups_of(dim);
    std::vector<int8_t> codes(static_cast<size_t>(groups) * 4);
    const float query_scale = quantise(query, dim, groups, codes.data());
    int32_t sum = 0;
    for (const int8_t code : codes) sum += code;
    const Query quantised{codes.data(), -128 * sum, groups};

    Shortlist shortlist(effort.shortlist);
    const Scan scan{quantised, allow, cpu, shown.at};
    const Both both(shown);
    const Lists& lists = *shown.lists;
    auto ranked = rank_lists(lists, quantised, query_scale, std::sqrt(cpu.dot(query, query, dim)), cpu);
    const size_t all = ranked.size();
    size_t sorted = 0;
    int64_t seen = 0, quota = effort.quota;
    for (size_t next = 0; next < all; ++next) {
        // A filter that dislikes what is near: the best allowed rows lie where many are about as far, so look wider.
        if (static_cast<int64_t>(next) == effort.probes && seen < quota / 2) quota *= WIDER;
        if (static_cast<int64_t>(next) >= effort.probes && seen >= quota && shortlist.is_full()) break;
        if (next == sorted) {
            sorted = std::min(all, next == 0 ? static_cast<size_t>(std::max<int64_t>(effort.probes, 1)) : 2 * next);
            select(ranked, next, sorted - next);
        }
        const int64_t first = lists.offsets[ranked[next].list];
        while (next + 1 < sorted && ranked[next + 1].list == ranked[next].list + 1) ++next;  // one run in memory
        const int64_t end = lists.offsets[ranked[next].list + 1];
        if (next + 1 < sorted) {
            const int64_t after = ranked[next + 1].list;
            fetch(*shown.base, lists.offsets[after], lists.offsets[after + 1]);
        }
        scan(*shown.base, first, end, both.base_positions, 0, shortlist);
        if (effort.quota > 0) seen += allowed_in(*shown.base, allow, first, end);
    }
    scan(*shown.fresh, 0, (shown.length + LANES - 1) / LANES, shown.length, both.base_positions, shortlist);
    shortlist.cut();

    std::vector<Found> found;
    found.reserve(shortlist.kept().size());
    for (const Candidate& one : shortlist.kept()) fetch(both.vector(one.position), dim);
    for (const Candidate& one : shortlist.kept())
        found.push_back({cpu.dot(query, both.vector(one.position), dim), both.row(one.position)});
    return best_of(found, effort.k, rows, scores);
}

int64_t search_allowed(const Shown& shown, const float* query, const Allow& allow, const int64_t* position_of,
                       int64_t known_rows, const int64_t* earlier, int64_t k, int64_t* rows, float* scores,
                       const Instructions& cpu) {
    constexpr size_t LAG = 16;  // vectors fetched ahead of the one in work
    const Both both(shown);
    const int64_t dim = shown.base->dim;
    std::vector<int64_t> positions;
    const int64_t end = std::min(known_rows, allow.bytes == nullptr ? known_rows : allow.size);
    for (int64_t row = 0; row < end; ++row) {
        if (allow.bytes != nullptr) {
            // Mostly zeros where this search is chosen: eight rows at a time.
            uint64_t eight;
            if (row + 8 <= end && (__builtin_memcpy(&eight, allow.bytes + row, 8), eight == 0)) {
                row += 7;
                continue;
            }
            if (allow.bytes[row] == 0) continue;
        }
        int64_t position = position_of[row];
        // Written after what this search sees: then the one that it replaced.
        while (position >= both.base_positions && position - both.base_positions >= shown.length) {
            if (position >= both.base_positions + shown.fresh->positions()) break;
            const int64_t before = earlier[position - both.base_positions];
            position = before < position ? before : -1;
        }
        if (position >= 0 && position < both.base_positions + shown.length && both.is_shown(position)) positions.push_back(position);
    }
    std::vector<Found> found;
    found.reserve(positions.size());
    for (size_t i = 0; i < std::min(LAG, positions.size()); ++i) fetch(both.vector(positions[i]), dim);
    for (size_t i = 0; i < positions.size(); ++i) {
        if (i + LAG < positions.size()) fetch(both.vector(positions[i + LAG]), dim);
        found.push_back({cpu.dot(query, both.vector(positions[i]), dim), both.row(positions[i])});
    }
    return best_of(found, k, rows, scores);
}

}  // namespace slatewise
