/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the record's floors (core, preserve, restore) take from the kernel, for user
 * space: so that a model can play a host's lives over the code itself.  Only what
 * they use, in the simplest form.
 */
#ifndef KCH_SHIM_H
#define KCH_SHIM_H

#include <stdlib.h>
#include <sys/types.h>

#include "portable.h"

typedef uint16_t u16;
typedef uint64_t phys_addr_t;

#define GFP_KERNEL	0
#define NSEC_PER_SEC	1000000000ULL
#define PAGE_SIZE	4096UL

#define __user
#define ERR_PTR(err)	((void *)(long)(err))
#define min(a, b)	((a) < (b) ? (a) : (b))
#define max(a, b)	((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

/* Memory. */
void *kch_alloc(size_t size);
static inline void *kvmalloc(size_t size, int gfp)
{
	(void)gfp;
	return kch_alloc(size);
}

static inline void *kmalloc(size_t size, int gfp)
{
	(void)gfp;
	return kch_alloc(size);
}

static inline void *kvzalloc(size_t size, int gfp)
{
	(void)gfp;
	return kch_alloc(size);
}

static inline void *kzalloc(size_t size, int gfp)
{
	(void)gfp;
	return kch_alloc(size);
}

static inline void *kvcalloc(size_t n, size_t size, int gfp)
{
	return kvzalloc(n * size, gfp);
}

#define kvfree(p)		free(p)
#define kfree(p)		free(p)

/* The kernel's log: shown with -v. */
__printf(1, 2) void kch_log(const char *format, ...);
#define pr_err(...)	kch_log(__VA_ARGS__)
#define pr_warn(...)	kch_log(__VA_ARGS__)
#define pr_notice(...)	kch_log(__VA_ARGS__)
#define pr_info(...)	kch_log(__VA_ARGS__)
#define pr_err_ratelimited(...)		kch_log(__VA_ARGS__)
#define pr_warn_ratelimited(...)	kch_log(__VA_ARGS__)
#define pr_notice_ratelimited(...)	kch_log(__VA_ARGS__)

static inline void *memchr_inv(const void *data, int byte, size_t size)
{
	const u8 *p = data;

	for (; size; size--, p++)
		if (*p != (u8)byte)
			return (void *)p;
	return NULL;
}

/* Lists and hash tables. */
struct list_head {
	struct list_head *next, *prev;
};

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

static inline void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head;
	head->prev = head;
}

static inline void list_add(struct list_head *new, struct list_head *head)
{
	new->next = head->next;
	new->prev = head;
	head->next->prev = new;
	head->next = new;
}

static inline void list_del(struct list_head *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

#define list_entry(ptr, type, member)	container_of(ptr, type, member)
#define list_next_entry(pos, member) \
	list_entry((pos)->member.next, __typeof__(*(pos)), member)
#define list_prev_entry(pos, member) \
	list_entry((pos)->member.prev, __typeof__(*(pos)), member)
#define list_first_entry(head, type, member) \
	list_entry((head)->next, type, member)
#define list_last_entry(head, type, member) \
	list_entry((head)->prev, type, member)
#define list_for_each_entry_from(pos, head, member) \
	for (; &(pos)->member != (head); (pos) = list_next_entry(pos, member))
#define list_for_each_entry(pos, head, member)					\
	for ((pos) = list_first_entry(head, __typeof__(*(pos)), member);	\
	     &(pos)->member != (head); (pos) = list_next_entry(pos, member))
#define list_for_each_entry_continue(pos, head, member)				\
	for ((pos) = list_next_entry(pos, member);				\
	     &(pos)->member != (head); (pos) = list_next_entry(pos, member))
#define list_for_each_entry_reverse(pos, head, member)				\
	for ((pos) = list_last_entry(head, __typeof__(*(pos)), member);		\
	     &(pos)->member != (head); (pos) = list_prev_entry(pos, member))
#define list_for_each_entry_safe_reverse(pos, n, head, member)			\
	for ((pos) = list_last_entry(head, __typeof__(*(pos)), member),		\
	     (n) = list_prev_entry(pos, member);				\
	     &(pos)->member != (head);						\
	     (pos) = (n), (n) = list_prev_entry(n, member))

#define DECLARE_HASHTABLE(name, bits)	struct hlist_head name[1 << (bits)]
#define KCH_BUCKETS(table)	(sizeof(table) / sizeof((table)[0]))
#define hash_add(table, node, key) \
	hlist_add_head(node, &(table)[(key) % KCH_BUCKETS(table)])
#define hash_for_each_possible(table, obj, member, key) \
	hlist_for_each_entry(obj, &(table)[(key) % KCH_BUCKETS(table)], member)
#define hlist_for_each_entry(obj, head, member)					\
	for (struct hlist_node *node_ = (head)->first;				\
	     node_ && ((obj) = container_of(node_, __typeof__(*(obj)), member), 1);	\
	     node_ = node_->next)

static inline size_t roundup_pow_of_two(size_t n)
{
	size_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

static inline void hlist_add_head(struct hlist_node *node, struct hlist_head *head)
{
	node->next = head->first;
	if (head->first)
		head->first->pprev = &node->next;
	head->first = node;
	node->pprev = &head->first;
}

static inline void hash_del(struct hlist_node *node)
{
	if (!node->pprev)
		return;
	*node->pprev = node->next;
	if (node->next)
		node->next->pprev = node->pprev;
	node->pprev = NULL;
	node->next = NULL;
}

static inline u32 jhash(const void *key, u32 size, u32 initial)
{
	return kch_crc32c(initial, key, size);
}

/* One life is like another. */
static inline void get_random_once(void *to, size_t size)
{
	memset(to, 0, size);
}

/* Files; the model's have a VM behind them. */
struct file {
	unsigned int count;
};

static inline struct file *get_file(struct file *file)
{
	file->count++;
	return file;
}

static inline void fput(struct file *file)
{
	file->count--;
}

/* Stores before it reach memory before those behind it. */
void kch_barrier(void);
#undef wmb
#define wmb()		kch_barrier()

struct mutex {
	int unused;
};

#define DEFINE_MUTEX(name)	struct mutex name

extern u32 tsc_khz;
u64 rdtsc_ordered(void);

#endif /* KCH_SHIM_H */
