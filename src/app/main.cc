#include "app/app.h"

int main(int argc, char** argv) { return darkhorse::RunProgram(argc, argv); }
