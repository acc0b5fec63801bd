/* C11's cnd_timedwait for librdkafka, by the monotonic clock. Its one caller, cnd_timedwait_ms, counts what is left of a
 * wait by the monotonic clock too, and waits on when told that the time is over too early. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <threads.h>
#include <time.h>

/* What glibc itself relies on: its C11 types are its POSIX types. */
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "cnd_t is a pthread_cond_t");
_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "mtx_t is a pthread_mutex_t");

#define SECOND INT64_C(1000000000)
/* Should the clock be set back after the caller computed its deadline, the caller's next look is not far. */
#define LONGEST_WAIT (10 * SECOND)

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    struct timespec wall, deadline;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    int64_t seconds = (int64_t)until->tv_sec - wall.tv_sec;
    int64_t wait = LONGEST_WAIT;
    if (seconds < LONGEST_WAIT / SECOND)
        wait = seconds < -1 ? 0 : seconds * SECOND + until->tv_nsec - wall.tv_nsec;
    if (wait < 0)
        wait = 0;
    int64_t nanoseconds = deadline.tv_nsec + wait;
    deadline.tv_sec += nanoseconds / SECOND;
    deadline.tv_nsec = nanoseconds % SECOND;
    switch (pthread_cond_clockwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, CLOCK_MONOTONIC, &deadline)) {
    case 0:
        return thrd_success;
    case ETIMEDOUT:
        return thrd_timedout;
    default:
        return thrd_error;
    }
}
