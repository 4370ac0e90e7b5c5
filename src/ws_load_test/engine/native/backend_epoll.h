/* The kernel's side of the compiled loop: sockets that are watched, read and written, and a timer. This one is epoll.
 *
 * Everything that the loop asks of the kernel is in the functions of this file, so that another way to ask is another
 * file with the same. Sockets are watched edge-triggered, from loan to return, for both directions: one `epoll_ctl` for
 * a life.
 */
#ifndef WS_LOAD_TEST_BACKEND_H
#define WS_LOAD_TEST_BACKEND_H

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire.h"

enum {
    WS_READY = 256,    /* descriptors of one wait: a batch that fits the first-level cache */
    WS_BUFFER = 65536, /* bytes of one read, shared by all sessions; reads of more bytes are no cheaper */
};

static const uint64_t WS_TIMER = UINT64_MAX; /* in place of a slot: the timer has expired */

typedef struct {
    int ep, timer;
    uint8_t *buffer; /* of WS_BUFFER bytes */
} ws_backend;

/* Something that is ready: a session's socket, or the timer. */
typedef struct epoll_event ws_ready;

static inline uint64_t ws_ready_slot(const ws_ready *ready) { return ready->data.u64; }
static inline int ws_ready_to_read(const ws_ready *ready) { return (ready->events & EPOLLIN) != 0; }
static inline int ws_ready_to_write(const ws_ready *ready) { return (ready->events & EPOLLOUT) != 0; }
/* The stream has ended, or is broken: reading says which. */
static inline int ws_ready_ends(const ws_ready *ready) { return (ready->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0; }

/* Closes what is open. */
static inline void ws_backend_close(ws_backend *b) {
    if (b->ep >= 0) close(b->ep);
    if (b->timer >= 0) close(b->timer);
    free(b->buffer);
    b->ep = b->timer = -1;
    b->buffer = NULL;
}

/* Returns 0, or -1 with errno. */
static inline int ws_backend_open(ws_backend *b) {
    b->buffer = malloc(WS_BUFFER);
    b->ep = epoll_create1(EPOLL_CLOEXEC);
    b->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = WS_TIMER};
    if (!b->buffer || b->ep < 0 || b->timer < 0) return -1;
    return epoll_ctl(b->ep, EPOLL_CTL_ADD, b->timer, &event);
}

/* Returns a descriptor that is readable while something is ready. */
static inline int ws_backend_fd(const ws_backend *b) { return b->ep; }

/* Watches a socket from now on. Returns 0, or -1 with errno. */
static inline int ws_watch(ws_backend *b, int fd, uint32_t slot) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = slot};
    return epoll_ctl(b->ep, EPOLL_CTL_ADD, fd, &event);
}

/* Makes a socket that was not read to its end ready once more. */
static inline void ws_watch_again(ws_backend *b, int fd, uint32_t slot) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = slot};
    epoll_ctl(b->ep, EPOLL_CTL_MOD, fd, &event);
}

static inline void ws_unwatch(ws_backend *b, int fd) { epoll_ctl(b->ep, EPOLL_CTL_DEL, fd, NULL); }

/* Returns how many are ready, of so many at most, without waiting; 0 or less: none. */
static inline int ws_poll(ws_backend *b, ws_ready *ready, int most) { return epoll_wait(b->ep, ready, most, 0); }

/* Waits until an instant for a descriptor, -1: does not wait. Returns 1 if it is readable. */
static inline int ws_wait_for(int fd, int64_t until_ns) {
    struct pollfd waited = {.fd = fd, .events = POLLIN};
    struct timespec left = {.tv_nsec = until_ns - ws_now_ns()};
    return fd >= 0 && left.tv_nsec > 0 && ppoll(&waited, 1, &left, NULL) > 0;
}

/* Has the kernel say when it received what is read from a socket. Returns 1 if it does. */
static inline int ws_stamp(int fd) {
    int on = 1;
    return !setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

/* As recv, without waiting; `*stamp` is when the kernel received it, by CLOCK_REALTIME, 0 if it does not say. */
static inline ssize_t ws_receive_stamped(int fd, void *data, size_t size, int64_t *stamp) {
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(struct timespec))]; } control;
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    *stamp = 0;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec t;
        memcpy(&t, CMSG_DATA(head), sizeof t);
        *stamp = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    return got;
}

/* Reads what a socket has, up to `WS_BUFFER` bytes, which `*data` then points at until the next read. Returns their
 * number, 0 at the end of the stream, or -1 with errno. `*stamp` is 0, or of a socket that is `stamped` when the kernel
 * received them. */
static inline ssize_t ws_receive(ws_backend *b, int fd, int stamped, uint8_t **data, int64_t *stamp) {
    *data = b->buffer;
    *stamp = 0;
    return stamped ? ws_receive_stamped(fd, b->buffer, WS_BUFFER, stamp) : recv(fd, b->buffer, WS_BUFFER, MSG_DONTWAIT);
}

/* Hands bytes to the kernel, without waiting. Returns how many it took, or -1 with errno. */
static inline ssize_t ws_send(int fd, const void *data, size_t size) { return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL); }

/* Sets the timer to an instant of CLOCK_MONOTONIC. */
static inline void ws_arm(ws_backend *b, int64_t at_ns) {
    struct itimerspec when = {.it_value = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000}};
    timerfd_settime(b->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Makes the timer, which has expired, ready for the next time: being watched edge-triggered, it need not be read for that. */
static inline void ws_take_timer(ws_backend *b) { (void)b; }

#endif
