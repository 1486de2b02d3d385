// The kernel in plain C++: for processors without a path of their own, and the reference for those with one.
#include "kernel.h"

namespace slatewise {
namespace {

void products(const uint8_t* block, int groups, const int8_t* query, int32_t bias, int32_t* sums) {
    for (int lane = 0; lane < LANES; ++lane) sums[lane] = bias;
    for (int g = 0; g < groups; ++g) {
        const uint8_t* codes = block + g * LANES * 4;
        const int8_t* q = query + g * 4;
        for (int lane = 0; lane < LANES; ++lane) {
            sums[lane] += codes[lane * 4] * q[0] + codes[lane * 4 + 1] * q[1] + codes[lane * 4 + 2] * q[2] +
                          codes[lane * 4 + 3] * q[3];
        }
    }
}

int scan(const uint8_t* codes, const float* scales, int64_t first, int count, const Query& query, float above,
         Hit* hits) {
    const int64_t bytes = block_bytes(query.groups);
    int found = 0;
    int32_t sums[LANES];
    for (int64_t b = first; b < first + count; ++b) {
        products(codes + b * bytes, query.groups, query.codes, query.bias, sums);
        Hit& hit = hits[found];
        hit.lanes = 0;
        for (int lane = 0; lane < LANES; ++lane) {
            hit.scores[lane] = static_cast<float>(sums[lane]) * scales[b * LANES + lane];
            hit.lanes |= static_cast<uint32_t>(hit.scores[lane] > above) << lane;
        }
        hit.block = static_cast<int32_t>(b);
        found += hit.lanes != 0;
    }
    return found;
}

void nearest8(const uint8_t* codes, const float* scales, int64_t blocks, int groups, const int8_t* queries,
              const int32_t* biases, float* best, int32_t* at) {
    int32_t sums[LANES];
    for (int64_t b = 0; b < blocks; ++b) {
        for (int j = 0; j < 8; ++j) {
            products(codes + b * block_bytes(groups), groups, queries + j * groups * 4, biases[j], sums);
            for (int lane = 0; lane < LANES; ++lane) {
                const float score = static_cast<float>(sums[lane]) * scales[b * LANES + lane];
                if (score > best[j]) {
                    best[j] = score;
                    at[j] = static_cast<int32_t>(b * LANES + lane);
                }
            }
        }
    }
}

float dot(const float* a, const float* b, int64_t dim) {
    float sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    int64_t d = 0;
    for (; d + 8 <= dim; d += 8)
        for (int i = 0; i < 8; ++i) sums[i] += a[d + i] * b[d + i];
    for (int i = 0; d < dim; ++d, ++i) sums[i] += a[d] * b[d];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

const Instructions here{"portable", scan, nearest8, dot};

}  // namespace

const Instructions* portable() { return &here; }

}  // namespace slatewise
