#include "lib/bus/main.h"
#include "mail-svc/program.h"

int main(int argc, char **argv)
{
    return process_main(&mail_program, argc, argv);
}
