// SPDX-License-Identifier: Apache-2.0
// Programs that test images need, one static file, chosen by the name it is called by:
//   nginx   web server that looks like nginx from outside: master and worker, pid file, one page on argv[1] or 80
//   pause   waits for a signal
//   nnp     says its effective user id (installed set-uid root)
//   hold N  allocates N MiB and touches them
//   udp-echo PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char kPage[] =
    "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: 27\r\nConnection: close\r\n\r\n"
    "<h1>Welcome to nginx!</h1>\n";

static void Down(int signal_number) {
  (void)signal_number;
  _exit(0);
}

static void Title(char** argv, const char* title) {
  // The arguments, and behind them the environment, lie one behind the other (proc(5), cmdline).
  size_t room = strlen(argv[0]);
  for (int i = 1; argv[i] != NULL; ++i) room = (size_t)(argv[i] + strlen(argv[i]) - argv[0]);
  for (int i = 0; environ[i] != NULL; ++i) room = (size_t)(environ[i] + strlen(environ[i]) - argv[0]);
  memset(argv[0], 0, room);
  strncpy(argv[0], title, room);
}

static void Serve(int listener) {
  for (;;) {
    char request[4096];
    int peer = accept(listener, NULL, NULL);
    if (peer < 0) continue;
    if (read(peer, request, sizeof request) > 0 && write(peer, kPage, sizeof kPage - 1) < 0) perror("write");
    shutdown(peer, SHUT_WR);
    while (read(peer, request, sizeof request) > 0) continue;
    close(peer);
  }
}

static int Web(char** argv, int port) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port), .sin6_addr = in6addr_any};
  int on = 1, listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr*)&four, sizeof four) != 0) return perror("bind"), 1;
  } else {
    int off = 0;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &off, sizeof off);
    if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0) return perror("bind"), 1;
  }
  if (listen(listener, 64) != 0) return perror("listen"), 1;
  FILE* file = fopen("/var/run/nginx.pid", "w");
  if (file != NULL) {
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
  }
  signal(SIGTERM, Down);
  signal(SIGQUIT, Down);
  signal(SIGCHLD, SIG_IGN);
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Title(argv, "nginx: worker process");
    Serve(listener);
  }
  Title(argv, "nginx: master process nginx");
  for (;;) pause();
}

static int Hold(long mebibytes) {
  for (long i = 0; i < mebibytes; ++i) {
    char* piece = malloc(1 << 20);
    if (piece == NULL) return 3;
    memset(piece, 1, 1 << 20);
  }
  printf("held %ld\n", mebibytes);
  fflush(stdout);
  for (;;) pause();
}

static int UdpEcho(int port) {
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (bind(fd, (struct sockaddr*)&own, sizeof own) != 0) return perror("bind"), 1;
  for (;;) {
    char data[1500];
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    ssize_t n = recvfrom(fd, data, sizeof data, 0, (struct sockaddr*)&peer, &length);
    if (n >= 0) sendto(fd, data, (size_t)n, 0, (struct sockaddr*)&peer, length);
  }
}

int main(int argc, char** argv) {
  const char* name = strrchr(argv[0], '/');
  name = name != NULL ? name + 1 : argv[0];
  if (strcmp(name, "nnp") == 0) return printf("Effective uid: %d\n", (int)geteuid()), 0;
  if (strcmp(name, "hold") == 0) return Hold(argc > 1 ? atol(argv[1]) : 1024);
  if (strcmp(name, "udp-echo") == 0 && argc > 1) return UdpEcho(atoi(argv[1]));
  if (strcmp(name, "nginx") == 0) return Web(argv, getenv("PORT") != NULL ? atoi(getenv("PORT")) : 80);
  signal(SIGINT, Down);
  signal(SIGTERM, Down);
  for (;;) pause();
}
