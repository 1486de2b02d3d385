// The kernel for AVX2. Its byte multiply-add saturates at 16 bits, so codes are widened first: exact, at half the speed.
// As in scan_avx512.cpp, no library header after the pragma.
#include "kernel.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace slatewise {
namespace {

// Sums of 16 lanes, 8 a register, of one block with one query.
inline void products(const uint8_t* block, int groups, const int8_t* query, int32_t bias, __m256i* low, __m256i* high) {
    __m256i quarter[4];  // of 4 lanes each, two sums a lane: dimensions 0+1 and 2+3 of every group
    for (int i = 0; i < 4; ++i) quarter[i] = _mm256_setzero_si256();
    for (int g = 0; g < groups; ++g) {
        int32_t four;
        __builtin_memcpy(&four, query + g * 4, 4);
        const __m256i q = _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
        for (int i = 0; i < 4; ++i) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + g * 64 + i * 16));
            quarter[i] = _mm256_add_epi32(quarter[i], _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), q));
        }
    }
    // hadd leaves lanes as 0 1 4 5 2 3 6 7: the permutation puts them in order.
    const __m256i start = _mm256_set1_epi32(bias);
    *low = _mm256_add_epi32(start, _mm256_permute4x64_epi64(_mm256_hadd_epi32(quarter[0], quarter[1]), 0xD8));
    *high = _mm256_add_epi32(start, _mm256_permute4x64_epi64(_mm256_hadd_epi32(quarter[2], quarter[3]), 0xD8));
}

inline __m256 scored(__m256i sums, const float* scales) {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(scales));
}

int scan(const uint8_t* codes, const float* scales, int64_t first, int count, const Query& query, float above,
         Hit* hits) {
    const int64_t bytes = block_bytes(query.groups);
    const __m256 threshold = _mm256_set1_ps(above);
    int found = 0;
    for (int64_t b = first; b < first + count; ++b) {
        __m256i low, high;
        products(codes + b * bytes, query.groups, query.codes, query.bias, &low, &high);
        const __m256 one = scored(low, scales + b * LANES), two = scored(high, scales + b * LANES + 8);
        const uint32_t over =
            static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(one, threshold, _CMP_GT_OQ))) |
            static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(two, threshold, _CMP_GT_OQ))) << 8;
        if (over != 0) {
            hits[found].block = static_cast<int32_t>(b);
            hits[found].lanes = over;
            _mm256_storeu_ps(hits[found].scores, one);
            _mm256_storeu_ps(hits[found].scores + 8, two);
            ++found;
        }
    }
    return found;
}

void nearest8(const uint8_t* codes, const float* scales, int64_t blocks, int groups, const int8_t* queries,
              const int32_t* biases, float* best, int32_t* at) {
    for (int64_t b = 0; b < blocks; ++b) {
        for (int j = 0; j < 8; ++j) {
            __m256i low, high;
            products(codes + b * block_bytes(groups), groups, queries + j * groups * 4, biases[j], &low, &high);
            const __m256 one = scored(low, scales + b * LANES), two = scored(high, scales + b * LANES + 8);
            const __m256 threshold = _mm256_set1_ps(best[j]);
            const __m256 over = _mm256_or_ps(_mm256_cmp_ps(one, threshold, _CMP_GT_OQ),
                                             _mm256_cmp_ps(two, threshold, _CMP_GT_OQ));
            if (_mm256_movemask_ps(over) == 0) continue;
            float scores[LANES];
            _mm256_storeu_ps(scores, one);
            _mm256_storeu_ps(scores + 8, two);
            for (int lane = 0; lane < LANES; ++lane) {
                if (scores[lane] > best[j]) {
                    best[j] = scores[lane];
                    at[j] = static_cast<int32_t>(b * LANES + lane);
                }
            }
        }
    }
}

float dot(const float* a, const float* b, int64_t dim) {
    __m256 sum = _mm256_setzero_ps(), other = _mm256_setzero_ps();
    int64_t d = 0;
    for (; d + 16 <= dim; d += 16) {
        sum = _mm256_fmadd_ps(_mm256_loadu_ps(a + d), _mm256_loadu_ps(b + d), sum);
        other = _mm256_fmadd_ps(_mm256_loadu_ps(a + d + 8), _mm256_loadu_ps(b + d + 8), other);
    }
    float parts[8];
    _mm256_storeu_ps(parts, _mm256_add_ps(sum, other));
    for (int i = 0; d < dim; ++d, i = (i + 1) & 7) parts[i] += a[d] * b[d];
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

}  // namespace
}  // namespace slatewise

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace slatewise {
namespace {
const Instructions here{"avx2", scan, nearest8, dot};
}

const Instructions* avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &here : nullptr;
}

}  // namespace slatewise

#else
namespace slatewise {
const Instructions* avx2() { return nullptr; }
}  // namespace slatewise
#endif
