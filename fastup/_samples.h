/* The samples of a DPX and how they lie in words: unpacks them to codes, and packs codes. `dpx_sample` is the
 * definition, one sample at a time; the rest is loops that compilers vectorise. Plain C99, also valid C++. No Python,
 * no allocation, no I/O. */
#ifndef FASTUP_SAMPLES_H
#define FASTUP_SAMPLES_H

#include "_dpx.h"

#if !defined(DPX_SANITIZED) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define DPX_SANITIZED
#endif
#if !defined(DPX_SANITIZED) && defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define DPX_SANITIZED
#endif
#endif

/* Wide instructions picked at run time, where the compiler and the C library can do it (GNU ifunc); "arch=haswell"
 * would not do, it asks for that very processor. Elsewhere the plain loops stand: arm64 vectorises them as they are.
 * Sanitizers start after ifuncs are resolved, so they go without. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(DPX_SANITIZED) && !defined(__clang__) && __GNUC__ >= 12
#define DPX_WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(DPX_SANITIZED) &&                                          \
    (defined(__clang__) ? __clang_major__ >= 14 : __GNUC__ >= 8)
#define DPX_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define DPX_WIDE
#endif

/* ---- from the file: samples to codes ---- */

/* Sample i of those that start at src: a code, or the bits of a float. */
static inline uint32_t dpx_sample(const dpx_layout *l, const uint8_t *src, uint64_t i) {
    switch (l->store) {
    case DPX_BYTES: return src[i];
    case DPX_WORDS: return dpx_u16(src + 2 * i, l->swap);
    case DPX_FLOATS: return dpx_u32(src + 4 * i, l->swap);
    case DPX_TWELVES: return (dpx_u16(src + 2 * i, l->swap) >> l->shift) & 4095u;
    case DPX_TENS: return (dpx_u32(src + i / 3 * 4, l->swap) >> (l->shift + 20 - 10 * (i % 3))) & 1023u;
    case DPX_TENS_LOW: return (dpx_u32(src + i / 3 * 4, l->swap) >> (l->shift + 10 * (i % 3))) & 1023u;
    case DPX_BITS: break;
    }
    const uint64_t bit = i * l->bits;
    const uint8_t *word = src + bit / 32 * 4;
    uint32_t value = dpx_u32(word, l->swap) >> (bit % 32);
    if (bit % 32 + l->bits > 32) value |= dpx_u32(word + 4, l->swap) << (32 - bit % 32);
    return value & l->white;
}

/* In a loop, where compilers take what doesn't change out of it. */
static inline uint32_t dpx_turn32(uint32_t v, int swap) { return swap ? dpx_swap32(v) : v; }
static inline uint16_t dpx_turn16(uint16_t v, int swap) { return swap ? dpx_swap16(v) : v; }

DPX_WIDE static inline void dpx_unpack_tens(const uint8_t *__restrict src, uint16_t *__restrict dst, size_t words,
                                            int swap, int shift, int low) {
    const int first = low ? 0 : 20, last = 20 - first;
    for (size_t i = 0; i < words; i++) {
        const uint32_t v = dpx_u32(src + 4 * i, swap) >> shift;
        dst[3 * i] = (uint16_t)(v >> first & 1023u);
        dst[3 * i + 1] = (uint16_t)(v >> 10 & 1023u);
        dst[3 * i + 2] = (uint16_t)(v >> last & 1023u);
    }
}

DPX_WIDE static inline void dpx_unpack_words(const uint8_t *__restrict src, uint16_t *__restrict dst, size_t samples,
                                             int swap, int shift, uint16_t mask) {
    for (size_t i = 0; i < samples; i++) {
        uint16_t v;
        memcpy(&v, src + 2 * i, 2);
        dst[i] = (uint16_t)(dpx_turn16(v, swap) >> shift) & mask;
    }
}

DPX_WIDE static inline void dpx_unpack_bytes(const uint8_t *__restrict src, uint16_t *__restrict dst, size_t samples) {
    for (size_t i = 0; i < samples; i++) dst[i] = src[i];
}

/* Packed: 5 words hold 16 samples of 10 bits, 6 hold 16 of 12. To a machine with the lowest byte first they are a
 * stream of bytes too, in which each sample lies within two: those go to a lane of their own and are multiplied up to
 * its high end. Byte o of the stream is byte o ^ 3 of words in the other order. The two loads overlap, so that nothing
 * is read beyond the group. A loop so short may take half as long again at an unlucky address, hence it is unrolled. */
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define DPX_LANES
typedef uint8_t dpx_bytes16 __attribute__((vector_size(16)));
typedef uint16_t dpx_words8 __attribute__((vector_size(16)));
#if defined(__clang__)
#define DPX_SHUFFLE(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__)
#else
#define DPX_SHUFFLE(v, ...) __builtin_shuffle(v, (dpx_bytes16){__VA_ARGS__})
#endif
#define DPX_PAIR(o, turn) (o) ^ (turn), ((o) + 1) ^ (turn)
#define DPX_FOUR(bits, o, turn)                                                                                        \
    DPX_PAIR(o, turn), DPX_PAIR((o) + (bits) / 8, turn), DPX_PAIR((o) + 2 * (bits) / 8, turn),                         \
        DPX_PAIR((o) + 3 * (bits) / 8, turn)
#define DPX_EIGHT(v, bits, o, turn)                                                                                    \
    (dpx_words8) DPX_SHUFFLE(v, DPX_FOUR(bits, o, turn), DPX_FOUR(bits, (o) + (bits) / 2, turn))
#define DPX_UNPACK_BITS(name, bits, ...)                                                                               \
    DPX_WIDE static inline void name(const uint8_t *__restrict src, uint16_t *__restrict dst, size_t groups,           \
                                     int swap) {                                                                       \
        const dpx_words8 up = {__VA_ARGS__, __VA_ARGS__};                                                              \
        _Pragma("GCC unroll 4") for (size_t i = 0; i < groups; i++, src += 2 * (bits), dst += 16) {                    \
            dpx_bytes16 a, b;                                                                                          \
            dpx_words8 v, w;                                                                                           \
            memcpy(&a, src, 16);                                                                                       \
            memcpy(&b, src + 2 * (bits) - 16, 16);                                                                     \
            v = (swap ? DPX_EIGHT(a, bits, 0, 3) : DPX_EIGHT(a, bits, 0, 0)) * up >> (16 - (bits));                    \
            w = (swap ? DPX_EIGHT(b, bits, 16 - (bits), 3) : DPX_EIGHT(b, bits, 16 - (bits), 0)) * up >>               \
                (16 - (bits));                                                                                         \
            memcpy(dst, &v, 16);                                                                                       \
            memcpy(dst + 8, &w, 16);                                                                                   \
        }                                                                                                              \
    }
DPX_UNPACK_BITS(dpx_unpack_bits10, 10, 64, 16, 4, 1)
DPX_UNPACK_BITS(dpx_unpack_bits12, 12, 16, 1, 16, 1)
#endif

DPX_WIDE static inline void dpx_unpack_bits1(const uint8_t *__restrict src, uint16_t *__restrict dst, size_t groups,
                                             int swap) {
    for (size_t i = 0; i < groups; i++, dst += 32) {
        const uint32_t v = dpx_u32(src + 4 * i, swap);
        for (int j = 0; j < 32; j++) dst[j] = (uint16_t)(v >> j & 1u);
    }
}

DPX_WIDE static inline void dpx_unpack_floats(const uint8_t *__restrict src, uint8_t *__restrict dst, size_t samples,
                                              int swap) {
    for (size_t i = 0; i < samples; i++) {
        const uint32_t v = dpx_u32(src + 4 * i, swap);
        memcpy(dst + 4 * i, &v, 4);
    }
}

/* Words that lie where they are wanted already. */
DPX_WIDE static inline void dpx_words_in_place(uint16_t *words, size_t count, int swap, int shift, uint16_t mask) {
    for (size_t i = 0; i < count; i++) words[i] = (uint16_t)(dpx_turn16(words[i], swap) >> shift) & mask;
}

DPX_WIDE static inline void dpx_floats_in_place(uint32_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) words[i] = dpx_swap32(words[i]);
}

/* The first samples from the start of a group on. */
static inline void dpx_unpack(const dpx_layout *l, const uint8_t *src, uint16_t *dst, size_t samples) {
    size_t i = 0;
    switch (l->store) {
    case DPX_BYTES: dpx_unpack_bytes(src, dst, samples); return;
    case DPX_WORDS: dpx_unpack_words(src, dst, samples, l->swap, 0, 0xffff); return;
    case DPX_TWELVES: dpx_unpack_words(src, dst, samples, l->swap, l->shift, 4095); return;
    case DPX_FLOATS: return; /* they are no codes */
    case DPX_TENS:
    case DPX_TENS_LOW:
        dpx_unpack_tens(src, dst, samples / 3, l->swap, l->shift, l->store == DPX_TENS_LOW);
        i = samples / 3 * 3;
        break;
    case DPX_BITS:
        if (l->bits == 1) dpx_unpack_bits1(src, dst, samples / 32, l->swap), i = samples / 32 * 32;
#ifdef DPX_LANES
        else if (l->bits == 10)
            dpx_unpack_bits10(src, dst, samples / 16, l->swap), i = samples / 16 * 16;
        else
            dpx_unpack_bits12(src, dst, samples / 16, l->swap), i = samples / 16 * 16;
#endif
    }
    for (; i < samples; i++) dst[i] = (uint16_t)dpx_sample(l, src, i);
}

/* ---- to the file: codes to samples ---- */

DPX_WIDE static inline void dpx_pack_tens(const uint16_t *__restrict src, uint8_t *__restrict dst, size_t words,
                                          int swap, int shift, int low) {
    const int first = low ? 0 : 20, last = 20 - first;
    for (size_t i = 0; i < words; i++) {
        const uint32_t a = src[3 * i], b = src[3 * i + 1], c = src[3 * i + 2];
        const uint32_t v = (a << first | b << 10 | c << last) << shift, w = dpx_turn32(v, swap);
        memcpy(dst + 4 * i, &w, 4);
    }
}

DPX_WIDE static inline void dpx_pack_words(const uint16_t *__restrict src, uint8_t *__restrict dst, size_t samples,
                                           int swap, int shift) {
    for (size_t i = 0; i < samples; i++) {
        const uint16_t v = (uint16_t)(src[i] << shift), w = dpx_turn16(v, swap);
        memcpy(dst + 2 * i, &w, 2);
    }
}

DPX_WIDE static inline void dpx_pack_bytes(const uint16_t *__restrict src, uint8_t *__restrict dst, size_t samples) {
    for (size_t i = 0; i < samples; i++) dst[i] = (uint8_t)src[i];
}

#define DPX_PACK_BITS(name, bits, words, samples)                                                                      \
    DPX_WIDE static inline void name(const uint16_t *__restrict src, uint8_t *__restrict dst, size_t groups,           \
                                     int swap) {                                                                       \
        for (size_t i = 0; i < groups; i++, src += (samples), dst += 4 * (words)) {                                    \
            uint32_t v[(words) + 1] = {0};                                                                             \
            for (int j = 0; j < (samples); j++) {                                                                      \
                const int bit = j * (bits);                                                                            \
                const uint64_t two = (uint64_t)src[j] << (bit % 32);                                                   \
                v[bit / 32] |= (uint32_t)two;                                                                          \
                v[bit / 32 + 1] |= (uint32_t)(two >> 32);                                                              \
            }                                                                                                          \
            for (int j = 0; j < (words); j++) {                                                                        \
                const uint32_t w = dpx_turn32(v[j], swap);                                                             \
                memcpy(dst + 4 * j, &w, 4);                                                                            \
            }                                                                                                          \
        }                                                                                                              \
    }
DPX_PACK_BITS(dpx_pack_bits1, 1, 1, 32)
DPX_PACK_BITS(dpx_pack_bits10, 10, 5, 16)
DPX_PACK_BITS(dpx_pack_bits12, 12, 3, 8)

/* Samples from the start of a group on, with zeros after them up to the end of the last word. */
static inline void dpx_pack(const dpx_layout *l, const uint16_t *src, uint8_t *dst, size_t samples) {
    const int swap = l->swap;
    const size_t group = (size_t)dpx_group(l), rest = samples % group;
    if (rest) {
        uint8_t last[4 * 32];
        const size_t whole = samples - rest;
        uint16_t few[32] = {0};
        memcpy(few, src + whole, rest * 2);
        dpx_pack(l, few, last, group);
        memcpy(dst + dpx_bytes(l, whole), last, (size_t)dpx_bytes(l, rest));
        samples = whole;
    }
    switch (l->store) {
    case DPX_BYTES: dpx_pack_bytes(src, dst, samples); break;
    case DPX_WORDS:
    case DPX_TWELVES: dpx_pack_words(src, dst, samples, swap, l->shift); break;
    case DPX_FLOATS: break; /* they are no codes */
    case DPX_TENS:
    case DPX_TENS_LOW: dpx_pack_tens(src, dst, samples / 3, swap, l->shift, l->store == DPX_TENS_LOW); break;
    case DPX_BITS:
        if (l->bits == 1)
            dpx_pack_bits1(src, dst, samples / 32, swap);
        else if (l->bits == 10)
            dpx_pack_bits10(src, dst, samples / 16, swap);
        else
            dpx_pack_bits12(src, dst, samples / 8, swap);
    }
}

#endif
