/* Memory for the pixels of frames and of batches: not cleared, and used again.
 *
 * Fresh memory for a large frame costs more than decoding it: the system clears it, in pages of 4 KiB unless it is
 * asked for larger ones. So large blocks lie on huge pages, where the system has them, and a pool keeps some of the
 * blocks that come back, for the next that is wanted of their size. Plain C99, also valid C++; no Python. Threads may
 * share a pool.
 */
#ifndef FASTUP_MEMORY_H
#define FASTUP_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__cplusplus)
#include <memory>
#endif
#if defined(_WIN32)
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>
typedef SRWLOCK memory_mutex;
#define MEMORY_UNLOCKED SRWLOCK_INIT
#define memory_lock(pool) AcquireSRWLockExclusive(&(pool)->mutex)
#define memory_unlock(pool) ReleaseSRWLockExclusive(&(pool)->mutex)
#else
#include <pthread.h>
#include <sys/mman.h>
typedef pthread_mutex_t memory_mutex;
#define MEMORY_UNLOCKED PTHREAD_MUTEX_INITIALIZER
#define memory_lock(pool) pthread_mutex_lock(&(pool)->mutex)
#define memory_unlock(pool) pthread_mutex_unlock(&(pool)->mutex)
#endif

enum { MEMORY_SPARES = 32 };  /* that a pool can keep, at most */
enum { MEMORY_ALIGNED = 64 }; /* as TensorFlow and JAX want an array that they take without a copy */
enum { MEMORY_HUGE_PAGE = 1 << 21 };
enum { MEMORY_LARGE = 1 << 20 }; /* bytes of a large block: malloc scatters what it keeps of those that threads free */

typedef struct {
    uint8_t *bytes;
    size_t size;  /* as many as were asked for, or some more */
    void *mapped; /* what the bytes of a large block are in, as the system mapped it; NULL where malloc did */
    struct memory_pool *pool; /* that it goes back to */
} memory_block;

typedef struct memory_pool {
    memory_mutex mutex;
    size_t users; /* its owner and all of its blocks; it ends with the last of them */
    size_t most;  /* spares that it may keep: none once its owner has closed it */
    size_t kept;
    memory_block *spares[MEMORY_SPARES]; /* the one that came back first is first */
} memory_pool;

/* A pool that keeps so many spares, MEMORY_SPARES at most; memory_close ends it. NULL where there is no memory. */
static inline memory_pool *memory_open(size_t most) {
    const memory_mutex unlocked = MEMORY_UNLOCKED;
    memory_pool *pool = (memory_pool *)calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pool->mutex = unlocked;
    pool->users = 1;
    pool->most = most;
    return pool;
}

static inline void memory_leave(memory_pool *pool) {
    memory_lock(pool);
    const int last = --pool->users == 0;
    memory_unlock(pool);
    if (last) free(pool);
}

static inline void memory_free(memory_block *block) {
    memory_pool *pool = block->pool;
#if defined(_WIN32)
    _aligned_free(block->bytes);
#else
    if (block->mapped)
        munmap(block->mapped, block->size + MEMORY_HUGE_PAGE);
    else
        free(block->bytes);
#endif
    free(block);
    memory_leave(pool);
}

/* A fresh block; NULL where there is no memory. */
static inline memory_block *memory_new(memory_pool *pool, size_t size) {
    memory_block *block = (memory_block *)calloc(1, sizeof *block);
    void *bytes = NULL;
    if (!block) return NULL;
#if defined(_WIN32)
    bytes = _aligned_malloc(size, MEMORY_ALIGNED);
#else
#if defined(MADV_HUGEPAGE)
    if (size >= MEMORY_LARGE) { /* mapped, as malloc would keep what is freed, and more of it than a pool may */
        uint8_t *mapped =
            (uint8_t *)mmap(NULL, size + MEMORY_HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped != MAP_FAILED) {
            block->mapped = mapped;
            bytes = mapped + (0 - (uintptr_t)mapped) % MEMORY_HUGE_PAGE;
            madvise(bytes, size, MADV_HUGEPAGE); /* where that fails all is slower, not wrong */
        }
    } else
#endif
        if (posix_memalign(&bytes, MEMORY_ALIGNED, size))
        bytes = NULL;
#endif
    if (!bytes) {
        free(block);
        return NULL;
    }
    block->bytes = (uint8_t *)bytes;
    block->size = size;
    block->pool = pool;
    memory_lock(pool);
    pool->users++;
    memory_unlock(pool);
    return block;
}

/* A spare that leaves its pool, of which the mutex is held. */
static inline memory_block *memory_spare(memory_pool *pool, size_t i) {
    memory_block *block = pool->spares[i];
    memmove(pool->spares + i, pool->spares + i + 1, (--pool->kept - i) * sizeof *pool->spares);
    return block;
}

/* A block of so many bytes, which memory_give takes back: the one that came back last, as caches may still know it;
 * NULL where there is no memory, or no pool. */
static inline memory_block *memory_take(memory_pool *pool, size_t size) {
    memory_block *block = NULL;
    if (!pool || size == 0 || size > SIZE_MAX / 2) return NULL;
    if (size >= MEMORY_LARGE) size = (size + MEMORY_HUGE_PAGE - 1) / MEMORY_HUGE_PAGE * MEMORY_HUGE_PAGE;
    memory_lock(pool);
    for (size_t i = pool->kept; i > 0 && !block; i--)
        if (pool->spares[i - 1]->size == size) block = memory_spare(pool, i - 1);
    memory_unlock(pool);
    return block ? block : memory_new(pool, size);
}

/* The pool gets a block back, and keeps it in place of the one that it has had longest. */
static inline void memory_give(memory_block *block) {
    memory_pool *pool = block->pool;
    memory_block *old = block;
    memory_lock(pool);
    if (pool->most) {
        old = pool->kept == pool->most ? memory_spare(pool, 0) : NULL;
        pool->spares[pool->kept++] = block;
    }
    memory_unlock(pool);
    if (old) memory_free(old);
}

/* The owner needs no more of the pool. Blocks that are out stay good, and end when they come back. */
static inline void memory_close(memory_pool *pool) {
    memory_block *spare;
    do {
        memory_lock(pool);
        pool->most = 0;
        spare = pool->kept ? memory_spare(pool, 0) : NULL;
        memory_unlock(pool);
        if (spare) memory_free(spare);
    } while (spare);
    memory_leave(pool);
}

#if defined(__cplusplus)
struct MemoryDeleter {
    void operator()(memory_block *block) const { memory_give(block); }
    void operator()(memory_pool *pool) const { memory_close(pool); }
};
using Memory = std::unique_ptr<memory_block, MemoryDeleter>;
using MemoryPool = std::unique_ptr<memory_pool, MemoryDeleter>;
#endif

#endif
