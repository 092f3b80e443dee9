# Writes a text file as C++ string literals: cmake -DINPUT= -DOUTPUT= -P.
file(READ ${INPUT} text)
# One raw literal may be too long for a compiler: one for each some lines.
string(REPLACE "\n\n" "\n\n)TEXT\" R\"TEXT(" text "${text}")
file(WRITE ${OUTPUT} "R\"TEXT(${text})TEXT\"\n")
