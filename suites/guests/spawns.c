// Every way to start a program, by the program's own environment, by another, and by none.
#include "guest.h"

enum { VFORKS = 300, SYSTEMS = 60 };

static atomic_int over;

static void ended(const char *what, int status) {
    printf("%s %s %d\n", what, WIFEXITED(status) ? "exit" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    fflush(stdout);
}

// The child's descriptor work happens in the parent's memory.
static int vforks(char *const argv[], char *const envp[]) {
    pid_t pid = vfork();
    check(pid >= 0);
    if (pid == 0) {
        dup2(1, 50);
        close(50);
        if (envp) execve(argv[0], argv, envp);
        execv(argv[0], argv);
        _exit(98);
    }
    int status;
    check(waitpid(pid, &status, 0) == pid);
    return status;
}

static long mapped_pages(void) {
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    check(statm && fscanf(statm, "%ld", &pages) == 1);
    fclose(statm);
    return pages;
}

// Reads the environment as every call of localtime does.
static void *reads(void *unused) {
    while (!atomic_load(&over)) {
        time_t now = time(0);
        struct tm tm;
        tzset();
        localtime_r(&now, &tm);
        const char *home = getenv("HOME");
        check(home && home[0] == '/');
    }
    return unused;
}

static void *runs(void *sum) {
    for (int i = 0; i < SYSTEMS; i++) *(int *)sum += WEXITSTATUS(system("exit 2"));
    return 0;
}

int main(void) {
    char *echo[] = {"/bin/sh", "-c", "echo \"home $HOME other $OTHER preload $LD_PRELOAD\"", 0};
    char *quiet[] = {"/bin/sh", "-c", "exit 5", 0};
    char *other[] = {"OTHER=1", 0};
    ended("vfork execv", vforks(echo, 0));
    ended("vfork execve", vforks(echo, other));
    long before = mapped_pages();
    for (int i = 0; i < VFORKS; i++) check(WEXITSTATUS(vforks(quiet, i % 2 ? other : 0)) == 5);
    printf("vforks leave memory: %d\n", mapped_pages() - before > VFORKS / 2);

    pid_t pid;
    int status;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 7, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 7, 8);
    posix_spawn_file_actions_addclose(&actions, 7);
    check(posix_spawn(&pid, echo[0], &actions, 0, echo, environ) == 0);
    check(waitpid(pid, &status, 0) == pid);
    ended("posix_spawn", status);
    check(posix_spawnp(&pid, "sh", 0, 0, echo, other) == 0);
    check(waitpid(pid, &status, 0) == pid);
    ended("posix_spawnp", status);
    int spawned = posix_spawn(&pid, "/no/such/program", 0, 0, echo, environ);
    printf("posix_spawn of nothing %s\n", strerrorname_np(spawned));
    errno = 0;
    execv("/no/such/program", echo);
    printf("execv of nothing %s\n", strerrorname_np(errno));
    fflush(stdout);

    if (fork() == 0) execlp("sh", "sh", "-c", echo[2], (char *)0);
    wait(&status);
    ended("execlp", status);
    if (fork() == 0) execvpe("sh", echo, other);
    wait(&status);
    ended("execvpe", status);

    ended("system", system(echo[2]));
    ended("system signal", system("kill -9 $$"));
    printf("system asks %d\n", system(0) != 0);
    FILE *reader = popen(echo[2], "r");
    char line[500] = "";
    check(reader && fgets(line, sizeof line, reader));
    printf("popen %s", line);
    ended("pclose", pclose(reader));

    pthread_t readers[2], runners[3];
    int sums[3] = {0};
    for (int i = 0; i < 2; i++) pthread_create(&readers[i], 0, reads, 0);
    for (int i = 0; i < 3; i++) pthread_create(&runners[i], 0, runs, &sums[i]);
    for (int i = 0; i < 3; i++) pthread_join(runners[i], 0);
    atomic_store(&over, 1);
    for (int i = 0; i < 2; i++) pthread_join(readers[i], 0);
    printf("systems of threads %d %d %d\n", sums[0], sums[1], sums[2]);
    printf("preload in sight %d\n", getenv("LD_PRELOAD") != 0);

    clearenv();
    ended("system without environment", system(echo[2]));
    ended("vfork without environment", vforks(echo, 0));
    return 0;
}
