"""Set-up of the toolchain, and what people run besides the program. The program imports nothing of it."""
