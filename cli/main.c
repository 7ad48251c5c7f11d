#include "cli.h"
#include <signal.h>

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a limit of file size is a full disk to the spool */
    return cli_main(argc, argv);
}
