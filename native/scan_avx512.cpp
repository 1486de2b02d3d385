// The kernel for AVX-512 with VNNI (Intel since Ice Lake, AMD since Zen 4). Only this file is compiled for it: no
// library header may come after the pragma, or its inline functions would end up in programs for older processors.
// What is scanned next is asked for by the search, which knows it.
#include "kernel.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")
#endif

namespace slatewise {
namespace {

inline __m512i lanes_of(const int8_t* query, int group) {
    int32_t four;
    __builtin_memcpy(&four, query + group * 4, 4);
    return _mm512_set1_epi32(four);
}

// G: the number of groups where it is known when compiling, or 0. Known, the query stays in registers.
template <int G>
int scan_with(const uint8_t* codes, const float* scales, int64_t first, int count, const Query& query, float above,
              Hit* hits) {
    const int groups = G ? G : query.groups;
    const int64_t bytes = block_bytes(groups);
    const __m512i bias = _mm512_set1_epi32(query.bias), zero = _mm512_setzero_si512();
    const __m512 threshold = _mm512_set1_ps(above);
    __m512i q[G ? G : 1];
    if (G)
        for (int g = 0; g < G; ++g) q[g] = lanes_of(query.codes, g);
    int found = 0;
    for (int64_t b = first; b < first + count; ++b) {
        const uint8_t* block = codes + b * bytes;
        __m512i a = bias, c = zero, d = zero, e = zero;
        int g = 0;
        for (; g + 4 <= groups; g += 4) {
            const uint8_t* at = block + g * 64;
            a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(at), G ? q[G ? g : 0] : lanes_of(query.codes, g));
            c = _mm512_dpbusd_epi32(c, _mm512_loadu_si512(at + 64), G ? q[G ? g + 1 : 0] : lanes_of(query.codes, g + 1));
            d = _mm512_dpbusd_epi32(d, _mm512_loadu_si512(at + 128), G ? q[G ? g + 2 : 0] : lanes_of(query.codes, g + 2));
            e = _mm512_dpbusd_epi32(e, _mm512_loadu_si512(at + 192), G ? q[G ? g + 3 : 0] : lanes_of(query.codes, g + 3));
        }
        for (; g < groups; ++g) a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(block + g * 64), lanes_of(query.codes, g));
        const __m512i sums = _mm512_add_epi32(_mm512_add_epi32(a, c), _mm512_add_epi32(d, e));
        const __m512 scores = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(scales + b * LANES));
        const __mmask16 over = _mm512_cmp_ps_mask(scores, threshold, _CMP_GT_OQ);
        if (__builtin_expect(over != 0, 0)) {
            hits[found].block = static_cast<int32_t>(b);
            hits[found].lanes = over;
            _mm512_storeu_ps(hits[found].scores, scores);
            ++found;
        }
    }
    return found;
}

int scan(const uint8_t* codes, const float* scales, int64_t first, int count, const Query& query, float above,
         Hit* hits) {
    switch (query.groups) {
        case 8: return scan_with<8>(codes, scales, first, count, query, above, hits);
        case 16: return scan_with<16>(codes, scales, first, count, query, above, hits);
        default: return scan_with<0>(codes, scales, first, count, query, above, hits);
    }
}

void nearest8(const uint8_t* codes, const float* scales, int64_t blocks, int groups, const int8_t* queries,
              const int32_t* biases, float* best, int32_t* at) {
    __m512 top[8];
    __m512i place[8];
    for (int j = 0; j < 8; ++j) top[j] = _mm512_set1_ps(best[j]), place[j] = _mm512_set1_epi32(at[j]);
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (int64_t b = 0; b < blocks; ++b) {
        const uint8_t* block = codes + b * block_bytes(groups);
        __m512i sums[8];
        for (int j = 0; j < 8; ++j) sums[j] = _mm512_set1_epi32(biases[j]);
        for (int g = 0; g < groups; ++g) {
            const __m512i code = _mm512_loadu_si512(block + g * 64);
            for (int j = 0; j < 8; ++j)
                sums[j] = _mm512_dpbusd_epi32(sums[j], code, lanes_of(queries + j * groups * 4, g));
        }
        const __m512 scale = _mm512_loadu_ps(scales + b * LANES);
        const __m512i here = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int32_t>(b * LANES)));
        for (int j = 0; j < 8; ++j) {
            const __m512 scores = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[j]), scale);
            const __mmask16 over = _mm512_cmp_ps_mask(scores, top[j], _CMP_GT_OQ);
            top[j] = _mm512_mask_mov_ps(top[j], over, scores);
            place[j] = _mm512_mask_mov_epi32(place[j], over, here);
        }
    }
    for (int j = 0; j < 8; ++j) {
        best[j] = _mm512_reduce_max_ps(top[j]);
        const __mmask16 equal = _mm512_cmp_ps_mask(top[j], _mm512_set1_ps(best[j]), _CMP_EQ_OQ);
        at[j] = _mm512_mask_reduce_min_epi32(equal, place[j]);  // of equals the first, as the plain path has it
    }
}

float dot(const float* a, const float* b, int64_t dim) {
    __m512 sum = _mm512_setzero_ps(), other = _mm512_setzero_ps();
    int64_t d = 0;
    for (; d + 32 <= dim; d += 32) {
        sum = _mm512_fmadd_ps(_mm512_loadu_ps(a + d), _mm512_loadu_ps(b + d), sum);
        other = _mm512_fmadd_ps(_mm512_loadu_ps(a + d + 16), _mm512_loadu_ps(b + d + 16), other);
    }
    for (; d < dim; d += 16) {
        const __mmask16 in = dim - d >= 16 ? 0xffff : static_cast<__mmask16>((1u << (dim - d)) - 1);
        sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(in, a + d), _mm512_maskz_loadu_ps(in, b + d), sum);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sum, other));
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
const Instructions here{"avx512-vnni", scan, nearest8, dot};
}

const Instructions* avx512vnni() {
    const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("avx512vnni");
    return has ? &here : nullptr;
}

}  // namespace slatewise

#else
namespace slatewise {
const Instructions* avx512vnni() { return nullptr; }
}  // namespace slatewise
#endif
