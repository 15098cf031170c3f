/* What a step tries in order to leave its build: prints a line for each thing that it could do.
 *
 *     step-probe MARK PID FILE…       MARK: bytes that the environment and the words of a process of the host
 *                                     have, and the name of its abstract socket; PID: that process; FILE: of
 *                                     the host
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *mark;

static void got(const char *what, const char *which) {
	printf("GOT %s %s\n", what, which);
	fflush(stdout);
}

static int has_mark(const char *path) {
	static char text[1 << 20];
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	return n > 0 && memmem(text, (size_t)n, mark, strlen(mark)) != NULL;
}

/* In a child, as much of it can't be undone. */
static int in_child(int (*what)(void)) {
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(what() == 0 ? 0 : 1);
	int status;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int unshare_user(void) { return unshare(CLONE_NEWUSER); }
static int unshare_mount(void) { return unshare(CLONE_NEWNS); }
static int unshare_pid(void) { return unshare(CLONE_NEWPID); }
static int clone3_user(void) {
	struct { unsigned long long flags, a[10]; } args = {CLONE_NEWUSER, {0}};
	args.a[3] = SIGCHLD;
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		_exit(0);
	return pid > 0 ? 0 : -1;
}
static int clone_user(void) {
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	return pid > 0 ? 0 : -1;
}
static int do_mount(void) { return mount("none", "/tmp", "tmpfs", 0, NULL); }
static int bind_mount(void) { return mount("/", "/tmp", NULL, MS_BIND, NULL); }
static int remount_sys(void) { return mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL); }
static int unmount_proc(void) { return umount2("/proc/kcore", MNT_DETACH); }
static int unmount_sys(void) { return umount2("/sys/firmware", MNT_DETACH); }
static int open_tree_root(void) { return syscall(428, AT_FDCWD, "/", 1) >= 0 ? 0 : -1; }
static int fsopen_proc(void) { return syscall(430, "proc", 0) >= 0 ? 0 : -1; }
static int key(void) { return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0) >= 0 ? 0 : -1; }
static int add_a_key(void) { return syscall(SYS_add_key, "user", "x", "y", 1, -3) >= 0 ? 0 : -1; }
static int bpf(void) { return syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno == EINVAL || errno == EFAULT ? 0 : -1; }
static int perf(void) { char a[128] = {0}; return syscall(SYS_perf_event_open, a, 0, -1, -1, 0) >= 0 ? 0 : -1; }
static int fault(void) { return syscall(SYS_userfaultfd, 0) >= 0 ? 0 : -1; }
static int uring(void) { char p[256] = {0}; return syscall(425, 1, p) >= 0 ? 0 : -1; }
static int handle(void) {
	struct { struct file_handle h; unsigned char b[128]; } f = {.h.handle_bytes = 128};
	int id;
	if (name_to_handle_at(AT_FDCWD, "/", &f.h, &id, 0) < 0)
		return -1;
	int fd = open("/", O_RDONLY);
	return open_by_handle_at(fd, &f.h, O_RDONLY) >= 0 ? 0 : -1;
}
static int disk(void) { return mknod("/tmp/disk", S_IFBLK | 0600, (dev_t)(8 << 8)); }
static int memory(void) { return mknod("/tmp/mem", S_IFCHR | 0600, (dev_t)(1 << 8 | 1)); }
static int host_name(void) { return sethostname("x", 1); }
static int kernel_log(void) { return syscall(SYS_syslog, 2, malloc(4096), 4096) > 0 ? 0 : -1; }
static int steal_tty(void) { return open("/dev/tty", O_RDWR) >= 0 ? 0 : -1; }
static int console(void) { return open("/dev/console", O_RDWR) >= 0 ? 0 : -1; }
static int inject(void) { return ioctl(0, TIOCSTI, "x") == 0 || ioctl(1, TIOCSTI, "x") == 0 ? 0 : -1; }
static int core_pattern(void) { return open("/proc/sys/kernel/core_pattern", O_WRONLY) >= 0 ? 0 : -1; }
static int sysrq(void) { return open("/proc/sysrq-trigger", O_WRONLY) >= 0 ? 0 : -1; }
static int vsock(void) { return socket(40, SOCK_STREAM, 0) >= 0 ? 0 : -1; }
/* The words of a 32-bit call lie in memory, where no filter of system calls sees them. */
static int vsock_32(void) {
	long result = -1;
#ifdef __x86_64__
	unsigned *words = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	words[0] = 40, words[1] = SOCK_STREAM, words[2] = 0;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(1), "c"(words) : "memory", "r8", "r9", "r10", "r11");
#endif
	return result >= 0 ? 0 : -1;
}
static int sniff(void) {
	int fd = socket(AF_PACKET, SOCK_RAW, 0x0300);
	struct ifreq r = {0};
	strcpy(r.ifr_name, "lo");
	if (fd < 0)
		return -1;
	for (int i = 1; i < 64; i++) /* another interface than loopback: the host's network */
		if (if_indextoname((unsigned)i, r.ifr_name) && strcmp(r.ifr_name, "lo") != 0)
			return 0;
	return -1;
}
static int raise_priority(void) { struct sched_param p = {.sched_priority = 1}; return sched_setscheduler(0, SCHED_FIFO, &p); }
static int escape_chroot(void) {
	mkdir("/tmp/c", 0755);
	int fd = open("/", O_RDONLY);
	if (chroot("/tmp/c") < 0 || fchdir(fd) < 0)
		return -1;
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0)
			return -1;
	if (chroot(".") < 0)
		return -1;
	return access("/here-is-the-image", F_OK) < 0 ? 0 : -1;
}

static void walk_proc(int host_pid) {
	DIR *dir = opendir("/proc");
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char path[300];
		if (*e->d_name < '0' || *e->d_name > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
		if (has_mark(path))
			got("environment", path);
		snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
		/* The process above it was given its command. */
		if (has_mark(path) && atoi(e->d_name) != getpid() && atoi(e->d_name) != getppid())
			got("command", path);
		snprintf(path, sizeof path, "/proc/%s/root/here-is-the-image", e->d_name);
		char root[300];
		snprintf(root, sizeof root, "/proc/%s/root/", e->d_name);
		if (access(root, X_OK) == 0 && access(path, F_OK) < 0)
			got("root", root);
	}
	if (dir)
		closedir(dir);
	if (kill(host_pid, 0) == 0 || ptrace(PTRACE_ATTACH, host_pid, 0, 0) == 0)
		got("process", "of the host");
}

/* Sockets that are named without a file belong to the network. */
static void try_socket(const char *name) {
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(to.sun_path + 1, sizeof to.sun_path - 1, "%s", name);
	if (connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) == 0)
		got("abstract socket", "of the host");
	close(fd);
}

static void walk_descriptors(void) {
	for (int fd = 3; fd < 1024; fd++) {
		char path[64], to[512];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, to, sizeof to - 1);
		if (n >= 0)
			to[n] = 0, got("descriptor", to);
	}
}

/* Files below that can be opened for writing and are not this image's. */
static int depth;
static void walk_writable(const char *path) {
	struct stat st;
	if (depth > 6 || lstat(path, &st) < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		int fd = (st.st_mode & 0222) ? open(path, O_WRONLY | O_NONBLOCK) : -1;
		if (fd >= 0)
			got("writable", path), close(fd);
		return;
	}
	DIR *dir = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
	depth++;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char below[4096];
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(below, sizeof below, "%s/%s", path, e->d_name);
		walk_writable(below);
	}
	depth--;
	if (dir)
		closedir(dir);
}

int main(int argc, char **argv) {
	static const struct { const char *name; int (*what)(void); } tries[] = {
		{"a user namespace", unshare_user}, {"a mount namespace", unshare_mount}, {"a PID namespace", unshare_pid},
		{"a user namespace by clone3", clone3_user}, {"a user namespace by clone", clone_user},
		{"a mount", do_mount}, {"a bind mount", bind_mount}, {"/sys to write", remount_sys},
		{"/proc unmasked", unmount_proc}, {"/sys unmasked", unmount_sys}, {"open_tree", open_tree_root}, {"fsopen", fsopen_proc},
		{"a keyring", key}, {"a key", add_a_key}, {"bpf", bpf}, {"perf", perf}, {"userfaultfd", fault}, {"io_uring", uring},
		{"a file by handle", handle}, {"a disk", disk}, {"the memory", memory}, {"the host's name", host_name},
		{"the kernel's log", kernel_log}, {"the terminal", steal_tty}, {"the console", console}, {"keys pressed", inject},
		{"core_pattern", core_pattern}, {"sysrq", sysrq}, {"vsock", vsock}, {"vsock by 32 bits", vsock_32}, {"the host's packets", sniff},
		{"realtime", raise_priority}, {"another root", escape_chroot},
	};
	if (argc < 3)
		return 2;
	mark = argv[1];
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
		if (in_child(tries[i].what) == 0)
			got("done:", tries[i].name);
	walk_proc(atoi(argv[2]));
	try_socket(mark);
	walk_descriptors();
	walk_writable("/proc/sys");
	walk_writable("/sys/fs");
	walk_writable("/sys/kernel");
	for (int i = 3; i < argc; i++)
		if (access(argv[i], F_OK) == 0)
			got("file of the host", argv[i]);
	puts("tried");
	return 0;
}
