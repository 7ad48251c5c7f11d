#include <collector/command.h>
#include <signal.h>

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a limit of file size is a full disk to the spool */
    return command_run(argc, argv);
}
