# What a processor that calculates wrongly would get wrong: run in the guest, and with the same busybox on the host.
# $1: the busybox program itself, which both sides have. Debian's is built without the mathematical functions of awk.
head -c 262144 "$1" >data
for sum in md5sum sha1sum sha256sum sha512sum sha3sum; do
    $sum <data
done
gzip -6 -c <data | md5sum
gzip -1 -c <data | gunzip -c | md5sum
bzip2 -c <"$0" | md5sum
uuencode x <data | uudecode -o - | md5sum
head -c 16000 data | od -t d4 | sort -n | md5sum
echo '2^521 - 1; (2^64 - 1) * (2^64 + 1) % 1000000007; scale = 30; 355 / 113; sqrt(2)' | bc
echo '16 o 18446744073709551615 p 20 k 2 v p' | dc
awk '
function root(x,   r, i) { r = x; for (i = 0; i < 60; i++) r = (r + x / r) / 2; return r }
function power(x,   t, s, i) { t = s = 1; for (i = 1; i < 60; i++) s += t *= x / i; return s }
BEGIN {
    for (i = 1; i <= 60; i++) {
        x = i * 1.7320508
        printf "%.17g %.17g %.17g %.15e\n", x, root(x), power(-x / 9), power(x) / 3
        printf "%d %x %o %.3f %g %s\n", x * 1000003, i * 48271, i * 12345, -x / 7, x % 1.1, (x < root(x * x)) (x > 50)
    }
    for (i = 1; i <= 5000; i++) s += 1 / (i * i)
    printf "%.17g %.17g %g %g %g\n", s, root(s * 6), 1e308 * 10, -1e-320, 4.9406564584124654e-324 / 2
}'
i=0 a=1
while [ $i -lt 200 ]; do
    a=$(((a * 6364136223846793005 + 1442695040888963407) ^ (a >> 17)))
    i=$((i + 1))
done
echo "$a $((a / 12345)) $((a % 12345)) $((a >> 40)) $((-a / 7)) $((0x7fffffffffffffff + 1))"
printf '%e %g %.12f %08.3f %x %o\n' 6.02214076e23 1e-7 3.14159265358979 -2.5 255 511
factor 60247241209 1000036000099 4294967291
