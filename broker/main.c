#include "lib/bus/main.h"
#include "broker/program.h"

int main(int argc, char **argv)
{
    return process_main(&broker_program, argc, argv);
}
