"""Set-up of the toolchain, and what people run beside the program. The program imports nothing of it."""
