// The kernel for 64-bit ARM with the dot-product extension (Neoverse N1, Apple M1 and later).
#include "kernel.h"

#if defined(__aarch64__) && defined(__linux__) && (defined(__GNUC__) || defined(__clang__))
#include <sys/auxv.h>
#define SLATEWISE_NEON 1
#elif defined(__aarch64__) && defined(__APPLE__)
#define SLATEWISE_NEON 1
#endif

#ifdef SLATEWISE_NEON
#include <arm_neon.h>

#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))

namespace slatewise {
namespace {

// Sums of 16 lanes of one block with one query. The instruction wants both factors signed: the codes' sign bit is
// flipped, which takes 128 from each and so leaves nothing for the bias to correct.
DOTPROD inline void products(const uint8_t* block, int groups, const int8_t* query, int32x4_t* sums) {
    for (int i = 0; i < 4; ++i) sums[i] = vdupq_n_s32(0);
    const uint8x16_t flip = vdupq_n_u8(0x80);
    for (int g = 0; g < groups; ++g) {
        int32_t four;
        __builtin_memcpy(&four, query + g * 4, 4);
        const int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(four));
        for (int i = 0; i < 4; ++i) {
            const int8x16_t code = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(block + g * 64 + i * 16), flip));
            sums[i] = vdotq_s32(sums[i], code, q);
        }
    }
}

DOTPROD int scan(const uint8_t* codes, const float* scales, int64_t first, int count, const Query& query, float above,
                 Hit* hits) {
    const int64_t bytes = block_bytes(query.groups);
    int found = 0;
    for (int64_t b = first; b < first + count; ++b) {
        int32x4_t sums[4];
        products(codes + b * bytes, query.groups, query.codes, sums);
        Hit& hit = hits[found];
        hit.lanes = 0;
        float32x4_t scores[4];
        float32x4_t highest = vdupq_n_f32(above);
        for (int i = 0; i < 4; ++i) {
            scores[i] = vmulq_f32(vcvtq_f32_s32(sums[i]), vld1q_f32(scales + b * LANES + i * 4));
            highest = vmaxq_f32(highest, scores[i]);
        }
        if (vmaxvq_f32(highest) <= above) continue;
        for (int i = 0; i < 4; ++i) vst1q_f32(hit.scores + i * 4, scores[i]);
        for (int lane = 0; lane < LANES; ++lane)
            hit.lanes |= static_cast<uint32_t>(hit.scores[lane] > above) << lane;
        hit.block = static_cast<int32_t>(b);
        ++found;
    }
    return found;
}

DOTPROD void nearest8(const uint8_t* codes, const float* scales, int64_t blocks, int groups, const int8_t* queries,
                      const int32_t*, float* best, int32_t* at) {
    for (int64_t b = 0; b < blocks; ++b) {
        for (int j = 0; j < 8; ++j) {
            int32x4_t sums[4];
            products(codes + b * block_bytes(groups), groups, queries + j * groups * 4, sums);
            for (int i = 0; i < 4; ++i) {
                float scores[4];
                vst1q_f32(scores, vmulq_f32(vcvtq_f32_s32(sums[i]), vld1q_f32(scales + b * LANES + i * 4)));
                for (int lane = 0; lane < 4; ++lane) {
                    if (scores[lane] > best[j]) {
                        best[j] = scores[lane];
                        at[j] = static_cast<int32_t>(b * LANES + i * 4 + lane);
                    }
                }
            }
        }
    }
}

float dot(const float* a, const float* b, int64_t dim) {
    float32x4_t sum = vdupq_n_f32(0), other = vdupq_n_f32(0);
    int64_t d = 0;
    for (; d + 8 <= dim; d += 8) {
        sum = vfmaq_f32(sum, vld1q_f32(a + d), vld1q_f32(b + d));
        other = vfmaq_f32(other, vld1q_f32(a + d + 4), vld1q_f32(b + d + 4));
    }
    float total = vaddvq_f32(vaddq_f32(sum, other));
    for (; d < dim; ++d) total += a[d] * b[d];
    return total;
}

const Instructions here{"neon-dotprod", scan, nearest8, dot};

}  // namespace

const Instructions* neon() {
#if defined(__linux__)
    constexpr unsigned long ASIMDDP = 1ul << 20;  // HWCAP_ASIMDDP
    return getauxval(AT_HWCAP) & ASIMDDP ? &here : nullptr;
#else
    return &here;  // every Apple processor for Macs has it
#endif
}

}  // namespace slatewise

#else
namespace slatewise {
const Instructions* neon() { return nullptr; }
}  // namespace slatewise
#endif
