/* Memory for the pixels of frames and of batches: not cleared, and used again.
 *
 * Fresh memory for a large frame costs more than decoding it: the system clears it, in pages of 4 KiB unless it is
 * asked for larger ones. So large blocks lie on huge pages, where the system has them, and a pool keeps some of those
 * that it gets back, for the next that wants as much.
 *
 * Plain C99, also valid C++. No Python. Threads may share a pool.
 */
#ifndef FASTUP_MEMORY_H
#define FASTUP_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__cplusplus)
#include <memory>
#include <new>
#endif
#if defined(_WIN32)
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>
#else
#include <pthread.h>
#include <sys/mman.h>
#endif

enum {
    MEMORY_SPARES = 32,        /* that a pool can keep, at most */
    MEMORY_ALIGNED = 64,       /* as TensorFlow and JAX want an array that they take without a copy */
    MEMORY_HUGE_PAGE = 1 << 21 /* a block of so many bytes is a large one */
};

#if defined(_WIN32)
typedef SRWLOCK memory_mutex;
static inline void memory_mutex_make(memory_mutex *mutex) { InitializeSRWLock(mutex); }
static inline void memory_mutex_lock(memory_mutex *mutex) { AcquireSRWLockExclusive(mutex); }
static inline void memory_mutex_unlock(memory_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }
static inline void memory_mutex_unmake(memory_mutex *mutex) { (void)mutex; }
#else
typedef pthread_mutex_t memory_mutex;
static inline void memory_mutex_make(memory_mutex *mutex) { pthread_mutex_init(mutex, NULL); }
static inline void memory_mutex_lock(memory_mutex *mutex) { pthread_mutex_lock(mutex); }
static inline void memory_mutex_unlock(memory_mutex *mutex) { pthread_mutex_unlock(mutex); }
static inline void memory_mutex_unmake(memory_mutex *mutex) { pthread_mutex_destroy(mutex); }
#endif

typedef struct {
    uint8_t *bytes;
    size_t size;  /* as many as were asked for, or some more */
    void *mapped; /* what mmap gave, and how much; NULL where malloc gave the bytes */
    size_t mapped_size;
    struct memory_pool *pool; /* that the block goes back to */
} memory_block;

typedef struct memory_pool {
    memory_mutex mutex;
    size_t users; /* its owner, and every block that is out; the pool ends with the last of them */
    size_t most;  /* spares that it may keep: none once its owner has closed it */
    size_t kept;
    memory_block *spares[MEMORY_SPARES]; /* the one that came back first is first */
} memory_pool;

/* ---- blocks ---- */

static inline void memory_free(memory_block *block) {
#if defined(_WIN32)
    _aligned_free(block->bytes);
#else
    if (block->mapped)
        munmap(block->mapped, block->mapped_size);
    else
        free(block->bytes);
#endif
    free(block);
}

/* NULL where there is no memory. */
static inline memory_block *memory_new(size_t size) {
    memory_block *block = (memory_block *)calloc(1, sizeof *block);
    void *bytes = NULL;
    if (!block) return NULL;
    block->size = size;
#if defined(_WIN32)
    bytes = _aligned_malloc(size, MEMORY_ALIGNED);
#else
#if defined(MADV_HUGEPAGE)
    if (size >= MEMORY_HUGE_PAGE) { /* not by malloc, which keeps more of what is freed than a pool may */
        block->mapped_size = size + MEMORY_HUGE_PAGE;
        block->mapped = mmap(NULL, block->mapped_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block->mapped == MAP_FAILED) {
            free(block);
            return NULL;
        }
        bytes = (uint8_t *)block->mapped + (0 - (uintptr_t)block->mapped) % MEMORY_HUGE_PAGE;
        madvise(bytes, size, MADV_HUGEPAGE); /* where that fails all is slower, not wrong */
    } else
#endif
        if (posix_memalign(&bytes, MEMORY_ALIGNED, size))
        bytes = NULL;
#endif
    block->bytes = (uint8_t *)bytes;
    if (bytes) return block;
    free(block);
    return NULL;
}

/* ---- pools ---- */

/* A pool that keeps so many spares, MEMORY_SPARES at most; memory_close ends it. NULL where there is no memory. */
static inline memory_pool *memory_open(size_t most) {
    memory_pool *pool = (memory_pool *)calloc(1, sizeof *pool);
    if (!pool) return NULL;
    memory_mutex_make(&pool->mutex);
    pool->users = 1;
    pool->most = most;
    return pool;
}

/* One user less: called with the mutex held, which it lets go. */
static inline void memory_leave(memory_pool *pool) {
    const int last = --pool->users == 0;
    memory_mutex_unlock(&pool->mutex);
    if (!last) return;
    memory_mutex_unmake(&pool->mutex);
    free(pool);
}

/* A block of so many bytes, which memory_give takes back; NULL where there is no memory. */
static inline memory_block *memory_take(memory_pool *pool, size_t size) {
    memory_block *block = NULL;
    size_t i;
    if (size > SIZE_MAX / 2) return NULL;
    if (size == 0) size = 1;
    if (size >= MEMORY_HUGE_PAGE) size = (size + MEMORY_HUGE_PAGE - 1) / MEMORY_HUGE_PAGE * MEMORY_HUGE_PAGE;
    memory_mutex_lock(&pool->mutex);
    pool->users++;
    for (i = pool->kept; i-- > 0 && !block;) {
        if (pool->spares[i]->size != size) continue;
        block = pool->spares[i];
        pool->kept--;
        memmove(pool->spares + i, pool->spares + i + 1, (pool->kept - i) * sizeof *pool->spares);
    }
    memory_mutex_unlock(&pool->mutex);
    if (!block) block = memory_new(size);
    if (block) {
        block->pool = pool;
    } else {
        memory_mutex_lock(&pool->mutex);
        memory_leave(pool);
    }
    return block;
}

/* The pool gets a block back, and keeps it in place of the one that it has had longest. */
static inline void memory_give(memory_block *block) {
    memory_pool *pool = block->pool;
    memory_block *old = NULL;
    memory_mutex_lock(&pool->mutex);
    if (pool->kept >= pool->most) {
        old = pool->most ? pool->spares[0] : block;
        if (pool->most) memmove(pool->spares, pool->spares + 1, --pool->kept * sizeof *pool->spares);
    }
    if (old != block) pool->spares[pool->kept++] = block;
    memory_leave(pool);
    if (old) memory_free(old);
}

/* The owner needs no more of the pool. Blocks that are out stay good, and end when they come back. */
static inline void memory_close(memory_pool *pool) {
    memory_block *spares[MEMORY_SPARES];
    size_t kept;
    memory_mutex_lock(&pool->mutex);
    kept = pool->kept;
    memcpy(spares, pool->spares, kept * sizeof *spares);
    pool->kept = pool->most = 0;
    memory_leave(pool);
    while (kept > 0) memory_free(spares[--kept]);
}

#if defined(__cplusplus)
struct MemoryGiver {
    void operator()(memory_block *block) const { memory_give(block); }
    void operator()(memory_pool *pool) const { memory_close(pool); }
};
using Memory = std::unique_ptr<memory_block, MemoryGiver>; // goes back to its pool by itself

class MemoryPool {
public:
    explicit MemoryPool(std::size_t most = MEMORY_SPARES) : pool_(memory_open(most)) {
        if (!pool_) throw std::bad_alloc();
    }
    Memory take(std::size_t size) const { return Memory(memory_take(pool_.get(), size)); } // null without memory

private:
    std::unique_ptr<memory_pool, MemoryGiver> pool_;
};
#endif

#endif
