// What the parts of the vector kernel share. Knows nothing of Python.
//
// Codes: vectors are quantised to 8 bits, each with one scale (its largest magnitude / 127). They lie in blocks of 16:
// for every group of 4 dimensions, 16 lanes of 4 bytes, so that one 512-bit load holds 4 dimensions of 16 vectors. A
// code is stored as unsigned (value + 128), as the multiply-add instructions want it; `bias` takes the 128 out again.
#pragma once
#include <cstdint>

namespace slatewise {

constexpr int LANES = 16;
constexpr int CHUNK = 32;  // blocks scanned between two looks at the threshold

inline int groups_of(int64_t dim) { return static_cast<int>((dim + 3) / 4); }
inline int64_t block_bytes(int groups) { return static_cast<int64_t>(groups) * LANES * 4; }

// One quantised query: `groups` * 4 signed bytes, zero beyond the width.
struct Query {
    const int8_t* codes;
    int32_t bias;  // -128 * sum(codes)
    int groups;
};

// A block in which some lanes scored above the threshold.
struct Hit {
    int32_t block;
    uint32_t lanes;  // one bit a lane
    float scores[LANES];
};

// What each instruction set provides. Scores are (integer product) * (scale of the vector): in units of the query's
// scale, so they order the vectors of one query and no more.
struct Instructions {
    const char* name;
    // Scan blocks [first, first + count), count <= CHUNK; return how many blocks have lanes above the threshold.
    int (*scan)(const uint8_t* codes, const float* scales, int64_t first, int count, const Query& query, float above,
                Hit* hits);
    // For 8 queries that lie one after another: raise best[j] and set at[j] where a vector of the blocks scores higher.
    void (*nearest8)(const uint8_t* codes, const float* scales, int64_t blocks, int groups, const int8_t* queries,
                     const int32_t* biases, float* best, int32_t* at);
    float (*dot)(const float* a, const float* b, int64_t dim);
};

// Each returns nullptr where this build or this processor lacks it.
const Instructions* avx512vnni();
const Instructions* avx2();
const Instructions* neon();
const Instructions* portable();

// The best set of this processor, or the named one; nullptr where there is no such set here.
const Instructions* instructions(const char* name = nullptr);

}  // namespace slatewise
