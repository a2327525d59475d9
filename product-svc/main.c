#include "lib/bus/main.h"
#include "product-svc/program.h"

int main(int argc, char **argv)
{
    return process_main(&product_program, argc, argv);
}
