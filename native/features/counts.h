// Counting for the ranker's features: lookups and sums over one history and some candidates. Knows nothing of Python,
// and no feature: what is made of the counts is written once, in Python.
#pragma once
#include <cstdint>

namespace slatewise {

// Ordered pairs as a compressed sparse matrix: row r has entries [start[r], start[r + 1]), `next` ascending in each.
struct Pairs {
    const int64_t* start;
    int64_t rows;
    const int64_t* next;
    const int64_t* near;
    const int64_t* decayed;
    int64_t entries;
};

// near[l][c], decayed[l][c] of each pair (before[l], wanted[c]); 0 where there is none. False where `start` points
// outside of the entries.
bool pairs_between(const Pairs& pairs, const int64_t* before, int64_t lags, const int64_t* wanted, int64_t n,
                   int64_t* near, int64_t* decayed);

// Per wanted value: times[0] how often `past` has it, times[1 + a] how often by actions[a], and its last step or -1.
void met(const int64_t* past, const int64_t* action, int64_t steps, const int64_t* actions, int64_t kinds,
         const int64_t* wanted, int64_t n, int64_t* times, int64_t* latest);

// One attribute in packed tokens: columns [start, start + slots), tokens from `first` on.
struct Attribute {
    int64_t start;
    int64_t slots;
    int64_t first;
    bool numeric;
};

// Two columns per attribute into out[2 * attributes][n]. Of values: the share of the history (steps weigh `weight`,
// which add up to `total`) that has the candidate's values, mean over its values, evenly and weighted. Of numbers: the
// candidate's level, and how far it lies above the history's mean. NaN where there is nothing to say. `counted`: room
// for 2 * tokens. False where a token is out of range.
bool shared(const int32_t* own, int64_t n, const int32_t* past, int64_t steps, int64_t width,
            const Attribute* attributes, int64_t count, const double* weight, double total, int64_t tokens,
            double* counted, float* out);

// Which pairs count at their instants, see `features/shares.py`. `held` and `empty_at` are one table of `slots`, of which
// a pair may lie in `ways` from `first` on. False where that is outside of the table.
bool admit(const uint64_t* pairs, const int64_t* first, const double* at, int64_t n, uint64_t* held, double* empty_at,
           int64_t slots, int64_t ways, double period, double most, uint8_t* admitted);

// The newest items of users, see `features/last_items.py`: `slots` users in `ways` runs of equal length, a user at the same
// place of one of them. Rows count from 1 in the table; 0 is nobody and nothing.
struct Lasts {
    int64_t* users;
    int64_t* used_at;
    int32_t* items;
    int64_t slots;
    int64_t ways;
    int64_t width;
};

// before[n][width]: what the table holds of each user before its item, which is then put in front. The user that was
// used the longest ago, by the clock that counts interactions, makes room. False for rows below 0.
bool follow(const int64_t* user, const int64_t* item, int64_t n, const Lasts& lasts, int64_t clock, int32_t* before);

}  // namespace slatewise
