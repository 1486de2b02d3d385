#include "counts.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace slatewise {

bool pairs_between(const Pairs& pairs, const int64_t* before, int64_t lags, const int64_t* wanted, int64_t n,
                   int64_t* near, int64_t* decayed) {
    std::fill_n(near, lags * n, 0);
    std::fill_n(decayed, lags * n, 0);
    for (int64_t l = 0; l < lags; ++l) {
        const int64_t row = before[l];
        if (row < 0 || row >= pairs.rows) continue;
        const int64_t from = pairs.start[row], to = pairs.start[row + 1];
        if (from < 0 || to < from || to > pairs.entries) return false;
        if (from == to) continue;
        const int64_t* const end = pairs.next + to;
        for (int64_t c = 0; c < n; ++c) {
            const int64_t* const at = std::lower_bound(pairs.next + from, end, wanted[c]);
            if (at == end || *at != wanted[c]) continue;
            near[l * n + c] = pairs.near[at - pairs.next];
            decayed[l * n + c] = pairs.decayed[at - pairs.next];
        }
    }
    return true;
}

void met(const int64_t* past, const int64_t* action, int64_t steps, const int64_t* actions, int64_t kinds,
         const int64_t* wanted, int64_t n, int64_t* times, int64_t* latest) {
    std::fill_n(times, (1 + kinds) * n, 0);
    std::fill_n(latest, n, -1);
    for (int64_t s = 0; s < steps; ++s) {
        for (int64_t c = 0; c < n; ++c) {
            if (wanted[c] != past[s]) continue;
            ++times[c];
            latest[c] = s;
            for (int64_t a = 0; a < kinds; ++a) times[(1 + a) * n + c] += actions[a] == action[s];
        }
    }
}

namespace {

// The order of additions is NumPy's `add.reduceat`: the first, and to it the sum of the others.
double sum_of(const double* counted, const int32_t* own, int64_t slots) {
    if (slots == 1) return counted[own[0]];
    double others = counted[own[1]];
    for (int64_t s = 2; s < slots; ++s) others += counted[own[s]];
    return counted[own[0]] + others;
}

void levels(const int32_t* own, int64_t n, const int32_t* past, int64_t steps, int64_t width, const Attribute& field,
            float* level, float* distance) {
    int64_t sum = 0, known = 0;
    for (int64_t s = 0; s < steps; ++s) {
        const int32_t token = past[s * width + field.start];
        if (token <= 0) continue;
        sum += token - field.first;
        ++known;
    }
    const double nothing = std::numeric_limits<double>::quiet_NaN();
    const auto usual = static_cast<float>(known > 0 ? static_cast<double>(sum) / static_cast<double>(known) : nothing);
    for (int64_t c = 0; c < n; ++c) {
        const int32_t token = own[c * width + field.start];
        level[c] = token > 0 ? static_cast<float>(token - field.first) : std::numeric_limits<float>::quiet_NaN();
        distance[c] = level[c] - usual;
    }
}

}  // namespace

bool shared(const int32_t* own, int64_t n, const int32_t* past, int64_t steps, int64_t width,
            const Attribute* attributes, int64_t count, const double* weight, double total, int64_t tokens,
            double* counted, float* out) {
    const auto inside = [&](int32_t token) { return token >= 0 && token < tokens; };
    if (!std::all_of(own, own + n * width, inside) || !std::all_of(past, past + steps * width, inside)) return false;
    double* const lately = counted + tokens;
    std::fill_n(counted, 2 * tokens, 0.0);
    for (int64_t s = 0; s < steps; ++s) {
        for (int64_t w = 0; w < width; ++w) {
            counted[past[s * width + w]] += 1.0;
            lately[past[s * width + w]] += weight[s];
        }
    }
    counted[0] = lately[0] = 0.0;
    for (int64_t f = 0; f < count; ++f) {
        const Attribute& field = attributes[f];
        float* const first = out + 2 * f * n;
        float* const second = first + n;
        if (field.numeric) {
            levels(own, n, past, steps, width, field, first, second);
            continue;
        }
        for (int64_t c = 0; c < n; ++c) {
            const int32_t* const mine = own + c * width + field.start;
            const auto values = static_cast<double>(std::count_if(mine, mine + field.slots, [](int32_t t) { return t > 0; }));
            if (values == 0.0 || steps == 0) {
                first[c] = second[c] = std::numeric_limits<float>::quiet_NaN();
                continue;
            }
            first[c] = static_cast<float>(sum_of(counted, mine, field.slots) / values / static_cast<double>(steps));
            second[c] = static_cast<float>(sum_of(lately, mine, field.slots) / values / total);
        }
    }
    return true;
}

bool admit(const uint64_t* pairs, const int64_t* first, const double* at, int64_t n, uint64_t* held, double* empty_at,
           int64_t slots, int64_t ways, double period, double most, uint8_t* admitted) {
    for (int64_t i = 0; i < n; ++i) {
        if (first[i] < 0 || first[i] > slots - ways) return false;
        int64_t slot = first[i];
        bool found = false;
        for (int64_t s = first[i]; s < first[i] + ways && !found; ++s) {
            found = held[s] == pairs[i];
            if (found || empty_at[s] < empty_at[slot]) slot = s;
        }
        const double begun = found ? std::max(empty_at[slot], at[i]) : at[i];
        admitted[i] = begun - at[i] <= most;
        if (!admitted[i]) continue;
        held[slot] = pairs[i];
        empty_at[slot] = begun + period;
    }
    return true;
}

bool follow(const int64_t* user, const int64_t* item, int64_t n, const Lasts& lasts, int64_t clock, int32_t* before) {
    const int64_t sets = lasts.slots / lasts.ways;
    for (int64_t i = 0; i < n; ++i) {
        if (user[i] < 0 || item[i] < 0) return false;
        int64_t slot = user[i] % sets;
        bool found = false;
        for (int64_t s = slot; s < lasts.slots && !found; s += sets) {
            found = lasts.users[s] == user[i] + 1;
            if (found || lasts.used_at[s] < lasts.used_at[slot]) slot = s;
        }
        int32_t* const held = lasts.items + slot * lasts.width;
        if (!found) {
            lasts.users[slot] = user[i] + 1;
            std::fill_n(held, lasts.width, 0);
        }
        std::copy_n(held, lasts.width, before + i * lasts.width);
        std::copy_backward(held, held + lasts.width - 1, held + lasts.width);
        held[0] = static_cast<int32_t>(item[i] + 1);
        lasts.used_at[slot] = clock + i + 1;
    }
    return true;
}

}  // namespace slatewise
