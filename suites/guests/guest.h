// What the guests share. Each prints the same at every run, so that runs can be compared.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define check(is)                                                                      \
    do {                                                                               \
        if (!(is)) {                                                                   \
            dprintf(1, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #is, strerror(errno)); \
            _exit(100);                                                                \
        }                                                                              \
    } while (0)
