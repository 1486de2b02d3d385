// A run of vectors in memory that belongs to someone else, and what is done with it. Knows nothing of Python.
//
// Position p is lane p % 16 of block p / 16; vectors lie in the order of positions. Every array is `blocks` * 16 long
// (codes: bytes of blocks; hints: one entry a block).
#pragma once
#include "kernel.h"

namespace slatewise {

struct Segment {
    uint8_t* codes;
    float* scales;
    float* vectors;
    const int32_t* rows;
    const int64_t* deaths;   // the change with which a position stopped counting; of padding 0
    const uint16_t* hints;   // lanes whose death is to be looked at; others are alive
    int64_t blocks;
    int64_t dim;
    int64_t positions() const { return blocks * LANES; }
};

// Inverted lists over the blocks of a segment: list l has blocks [offsets[l], offsets[l + 1]).
struct Lists {
    const uint8_t* codes;    // the mean vectors of the lists, as blocks
    const float* scales;
    const float* spread;     // per list: how far beyond the mean its best may lie, for a query of unit length
    const int64_t* offsets;
    int64_t count;
};

// Rows that may be found: those below `size` whose byte is not zero. All, where `bytes` is null.
struct Allow {
    const uint8_t* bytes;
    int64_t size;
    bool operator()(int64_t row) const { return bytes == nullptr || (row >= 0 && row < size && bytes[row] != 0); }
};

// What a search sees: all of `base`, and of `fresh` the positions below `length`, at the change `at`.
struct Shown {
    const Segment* base;
    const Lists* lists;
    const Segment* fresh;
    int64_t length;
    int64_t at;
};

// How far a search goes.
struct Effort {
    int64_t k;          // rows wanted
    int64_t shortlist;  // candidates by code whose exact products are taken
    int64_t probes;     // lists scanned at least; more until the shortlist is full
    int64_t quota;      // and until about this many allowed rows were among them: a filter may like the near lists least
};

// Quantise one vector into `out` (groups * 4 bytes, zero beyond the width); return its scale. 0 for a vector of zeros.
float quantise(const float* vector, int64_t dim, int groups, int8_t* out);

// Copy vector sources[i] (or i) of `from` to position targets[i] of `to`, with code and scale.
void place(const float* from, const int64_t* sources, const int64_t* targets, int64_t count, const Segment& to);

// Per vector the list whose centroid (as blocks) has the largest inner product with it; ties and zeros: the lowest.
void assign(const float* vectors, int64_t count, int64_t dim, const uint8_t* codes, const float* scales, int64_t lists,
            int32_t* out, const Instructions& cpu);

// Positions for vectors by list, each list starting a new block: fills offsets (lists + 1, in blocks) and positions.
void layout(const int32_t* list_of, int64_t count, int64_t lists, int64_t* offsets, int64_t* positions);

// Fill rows and exact inner products, best first, equal ones by row; return how many there are, at most k.
int64_t search(const Shown& shown, const float* query, const Allow& allow, const Effort& effort, int64_t* rows,
               float* scores, const Instructions& cpu);

// The same among the allowed rows only, each scored exactly. position_of: the newest position of each row (fresh ones
// follow the base's), -1 for none; earlier: per fresh position the one that it replaced, or -1.
int64_t search_allowed(const Shown& shown, const float* query, const Allow& allow, const int64_t* position_of,
                       int64_t known_rows, const int64_t* earlier, int64_t k, int64_t* rows, float* scores,
                       const Instructions& cpu);

}  // namespace slatewise
