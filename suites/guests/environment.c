// A program's own environment: what it was given, what it makes of it, and what its children see.
#include "guest.h"

static void prints(const char *title) {
    int count = 0;
    for (char **entry = environ; entry && *entry; entry++) count++;
    printf("%s %d\n", title, count);
    for (char **entry = environ; entry && *entry; entry++)
        if (count < 40) printf("  %s\n", *entry);
    fflush(stdout);
}

int main(void) {
    prints("given");
    char name[40], value[40];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "NAME_%d", i);
        snprintf(value, sizeof value, "value %d", i);
        check(setenv(name, value, 1) == 0 && strcmp(getenv(name), value) == 0);
        if (i % 3) check(unsetenv(name) == 0 && !getenv(name));
    }
    prints("grown");
    system("env | grep -c NAME_");
    static char put[] = "PUT=1";
    check(putenv(put) == 0 && strcmp(getenv("PUT"), "1") == 0);
    put[4] = '2';
    check(strcmp(getenv("PUT"), "2") == 0);
    errno = 0;
    check(setenv("", "x", 1) == -1 && errno == EINVAL);
    check(setenv("a=b", "x", 1) == -1 && errno == EINVAL);
    check(unsetenv("") == -1);
    system("echo $PUT; env | grep -c -e WATERTIGHT -e PRELOAD");
    check(clearenv() == 0);
    prints("cleared");
    system("echo \"path ${HOME:-none}\"");
    check(setenv("ONE", "1", 0) == 0);
    prints("one");
    system("/usr/bin/env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD=");
    char *mine[] = {"MINE=1", 0};
    environ = mine;
    prints("mine");
    system("echo $MINE");
    prints("still mine");
    return 0;
}
