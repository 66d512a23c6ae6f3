//go:build !purego

#include "textflag.h"

// Bytes 15 to 0: a block of a message as SHA-1 wants it, its first word on top.
DATA reversed<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA reversed<>+8(SB)/8, $0x0001020304050607
GLOBL reversed<>(SB), RODATA|NOPTR, $16

// The last word turned round: a counter block whose counter can be added to.
DATA counter<>+0(SB)/8, $0x0706050403020100
DATA counter<>+8(SB)/8, $0x0c0d0e0f0b0a0908
GLOBL counter<>(SB), RODATA|NOPTR, $16

// 0 to 8 in the last word.
DATA ahead<>+0(SB)/8, $0
DATA ahead<>+8(SB)/8, $0x0000000000000000
DATA ahead<>+16(SB)/8, $0
DATA ahead<>+24(SB)/8, $0x0000000100000000
DATA ahead<>+32(SB)/8, $0
DATA ahead<>+40(SB)/8, $0x0000000200000000
DATA ahead<>+48(SB)/8, $0
DATA ahead<>+56(SB)/8, $0x0000000300000000
DATA ahead<>+64(SB)/8, $0
DATA ahead<>+72(SB)/8, $0x0000000400000000
DATA ahead<>+80(SB)/8, $0
DATA ahead<>+88(SB)/8, $0x0000000500000000
DATA ahead<>+96(SB)/8, $0
DATA ahead<>+104(SB)/8, $0x0000000600000000
DATA ahead<>+112(SB)/8, $0
DATA ahead<>+120(SB)/8, $0x0000000700000000
DATA ahead<>+128(SB)/8, $0
DATA ahead<>+136(SB)/8, $0x0000000800000000
GLOBL ahead<>(SB), RODATA|NOPTR, $144

// Words 4 to 7 of the block that the outer hash ends with, but for the fifth word of the inner one, and its last four: 64 + 20 bytes are 672 bits.
DATA padding<>+0(SB)/8, $0
DATA padding<>+8(SB)/8, $0x0000000080000000
DATA padding<>+16(SB)/8, $0x00000000000002a0
DATA padding<>+24(SB)/8, $0
GLOBL padding<>(SB), RODATA|NOPTR, $32

// x^128 + x^127 + x^126 + x^121 + 1 but for its outer terms, by which 64 bits are reduced at once.
DATA poly<>+0(SB)/8, $0xc200000000000000
DATA poly<>+8(SB)/8, $0
GLOBL poly<>(SB), RODATA|NOPTR, $16

// func cpuid(leaf, sub uint32) (eax, ebx, ecx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-20
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	RET

// func xgetbv() uint32
TEXT ·xgetbv(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
	RET

// func subWord(w uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL            w+0(FP), AX
	MOVD            AX, X0
	PSHUFD          $0, X0, X0
	AESKEYGENASSIST $0, X0, X0
	MOVD            X0, AX
	MOVL            AX, ret+8(FP)
	RET

// Four rounds of SHA-1 with the function and constant f. X0 is A to D, the lowest on top. cur holds what X0 was four rounds ago, from which E comes;
// other takes what X0 is now.
#define ROUNDS(f, m, cur, other) \
	SHA1NEXTE m, cur;  \
	MOVO      X0, other; \
	SHA1RNDS4 $f, cur, X0

// The same with the next four words of the message schedule, which take the place of the oldest four.
#define SCHEDULE(f, m0, m1, m2, m3, cur, other) \
	SHA1MSG1 m1, m0; \
	PXOR     m2, m0; \
	SHA1MSG2 m3, m0; \
	ROUNDS(f, m0, cur, other)

// One block: X0 is A to D, X1 is E on top of zeros, X3 to X6 are the message. X2, X8 and X9 are used.
#define BLOCK \
	MOVO      X0, X8;                    \
	MOVO      X1, X9;                    \
	PADDD     X3, X1;                    \
	MOVO      X0, X2;                    \
	SHA1RNDS4 $0, X1, X0;                \
	ROUNDS(0, X4, X2, X1);               \
	ROUNDS(0, X5, X1, X2);               \
	ROUNDS(0, X6, X2, X1);               \
	SCHEDULE(0, X3, X4, X5, X6, X1, X2); \
	SCHEDULE(1, X4, X5, X6, X3, X2, X1); \
	SCHEDULE(1, X5, X6, X3, X4, X1, X2); \
	SCHEDULE(1, X6, X3, X4, X5, X2, X1); \
	SCHEDULE(1, X3, X4, X5, X6, X1, X2); \
	SCHEDULE(1, X4, X5, X6, X3, X2, X1); \
	SCHEDULE(2, X5, X6, X3, X4, X1, X2); \
	SCHEDULE(2, X6, X3, X4, X5, X2, X1); \
	SCHEDULE(2, X3, X4, X5, X6, X1, X2); \
	SCHEDULE(2, X4, X5, X6, X3, X2, X1); \
	SCHEDULE(2, X5, X6, X3, X4, X1, X2); \
	SCHEDULE(3, X6, X3, X4, X5, X2, X1); \
	SCHEDULE(3, X3, X4, X5, X6, X1, X2); \
	SCHEDULE(3, X4, X5, X6, X3, X2, X1); \
	SCHEDULE(3, X5, X6, X3, X4, X1, X2); \
	SCHEDULE(3, X6, X3, X4, X5, X2, X1); \
	SHA1NEXTE X9, X1;                    \
	PADDD     X8, X0

// Takes the block at SI, which moves on, into a state.
#define TAKE \
	MOVOU  (SI), X3;   \
	MOVOU  16(SI), X4; \
	MOVOU  32(SI), X5; \
	MOVOU  48(SI), X6; \
	PSHUFB X7, X3;     \
	PSHUFB X7, X4;     \
	PSHUFB X7, X5;     \
	PSHUFB X7, X6;     \
	ADDQ   $64, SI;    \
	BLOCK

// Reads the state at DI.
#define LOAD \
	MOVOU  (DI), X0;      \
	PSHUFD $0x1b, X0, X0; \
	MOVL   16(DI), X1;    \
	PSLLO  $12, X1

// func sha1Block(s *state, p *[64]byte)
TEXT ·sha1Block(SB), NOSPLIT, $0-16
	MOVQ   s+0(FP), DI
	MOVQ   p+8(FP), SI
	MOVOU  reversed<>(SB), X7
	LOAD
	TAKE
	PSHUFD $0x1b, X0, X0
	MOVOU  X0, (DI)
	PSRLO  $12, X1
	MOVL   X1, 16(DI)
	RET

// func hmacSHA1(sum *[20]byte, auth *[16]uint32, p *byte, blocks int, tail *[128]byte, tailBlocks int)
TEXT ·hmacSHA1(SB), NOSPLIT, $0-48
	MOVQ  auth+8(FP), DI
	MOVQ  p+16(FP), SI
	MOVQ  blocks+24(FP), CX
	MOVQ  tailBlocks+40(FP), DX
	MOVOU reversed<>(SB), X7
	LOAD
	TESTQ CX, CX
	JZ    tail

next:
	TAKE
	DECQ CX
	JNZ  next

tail:
	// Once more round, for what follows the whole blocks: it was written long before it is read here.
	MOVQ  DX, CX
	XORL  DX, DX
	MOVQ  tail+32(FP), SI
	TESTQ CX, CX
	JNZ   next

	// The outer hash, of the inner one as it stands in the registers.
	ADDQ  $20, DI
	MOVO  X0, X3
	MOVO  X1, X4
	POR   padding<>+0(SB), X4
	PXOR  X5, X5
	MOVOU padding<>+16(SB), X6
	LOAD
	BLOCK
	MOVQ   sum+0(FP), DI
	PSHUFB X7, X0
	MOVOU  X0, (DI)
	PSHUFB X7, X1
	MOVL   X1, 16(DI)
	RET

// One round of AES on eight blocks.
#define EIGHT(op, key) \
	VMOVDQU key, X10; \
	op X10, X0, X0;   \
	op X10, X1, X1;   \
	op X10, X2, X2;   \
	op X10, X3, X3;   \
	op X10, X4, X4;   \
	op X10, X5, X5;   \
	op X10, X6, X6;   \
	op X10, X7, X7

#define COUNT(n, x) \
	VPADDD  ahead<>+(16*n)(SB), X8, x; \
	VPSHUFB X9, x, x

#define WHITEN(n, x) \
	VPXOR   (16*n)(SI), x, x; \
	VMOVDQU x, (16*n)(DI)

// func ctr(round *[60]uint32, rounds int64, a, b uint64, dst, src *byte, n int)
TEXT ·ctr(SB), NOSPLIT, $0-56
	MOVQ    round+0(FP), AX
	MOVQ    rounds+8(FP), CX
	MOVQ    dst+32(FP), DI
	MOVQ    src+40(FP), SI
	MOVQ    n+48(FP), BX
	VMOVQ   a+16(FP), X8
	VPINSRQ $1, b+24(FP), X8, X8
	VMOVDQU counter<>(SB), X9
	VPSHUFB X9, X8, X8

	// R8 is where the last ten rounds begin; of 14 rounds four come before.
	SUBQ $10, CX
	MOVQ CX, R8
	SHLQ $4, R8
	ADDQ AX, R8

eight:
	CMPQ BX, $128
	JB   one
	COUNT(0, X0)
	COUNT(1, X1)
	COUNT(2, X2)
	COUNT(3, X3)
	COUNT(4, X4)
	COUNT(5, X5)
	COUNT(6, X6)
	COUNT(7, X7)
	VPADDD ahead<>+128(SB), X8, X8
	EIGHT(VPXOR, (AX))
	TESTQ CX, CX
	JZ    eight10
	EIGHT(VAESENC, 16(AX))
	EIGHT(VAESENC, 32(AX))
	EIGHT(VAESENC, 48(AX))
	EIGHT(VAESENC, 64(AX))

eight10:
	EIGHT(VAESENC, 16(R8))
	EIGHT(VAESENC, 32(R8))
	EIGHT(VAESENC, 48(R8))
	EIGHT(VAESENC, 64(R8))
	EIGHT(VAESENC, 80(R8))
	EIGHT(VAESENC, 96(R8))
	EIGHT(VAESENC, 112(R8))
	EIGHT(VAESENC, 128(R8))
	EIGHT(VAESENC, 144(R8))
	EIGHT(VAESENCLAST, 160(R8))
	WHITEN(0, X0)
	WHITEN(1, X1)
	WHITEN(2, X2)
	WHITEN(3, X3)
	WHITEN(4, X4)
	WHITEN(5, X5)
	WHITEN(6, X6)
	WHITEN(7, X7)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $128, BX
	JMP  eight

	// Block by block: the processor has as many in flight as it can hold.
one:
	TESTQ BX, BX
	JZ    done
	VPSHUFB X9, X8, X0
	VPADDD ahead<>+16(SB), X8, X8
	VPXOR  (AX), X0, X0
	TESTQ  CX, CX
	JZ     one10
	VAESENC 16(AX), X0, X0
	VAESENC 32(AX), X0, X0
	VAESENC 48(AX), X0, X0
	VAESENC 64(AX), X0, X0

one10:
	VAESENC     16(R8), X0, X0
	VAESENC     32(R8), X0, X0
	VAESENC     48(R8), X0, X0
	VAESENC     64(R8), X0, X0
	VAESENC     80(R8), X0, X0
	VAESENC     96(R8), X0, X0
	VAESENC     112(R8), X0, X0
	VAESENC     128(R8), X0, X0
	VAESENC     144(R8), X0, X0
	VAESENCLAST 160(R8), X0, X0
	CMPQ        BX, $16
	JB          part
	WHITEN(0, X0)
	ADDQ $16, SI
	ADDQ $16, DI
	SUBQ $16, BX
	JMP  one

	// Less than a block: nothing is read or written behind the end.
part:
	TESTQ   $8, BX
	JZ      part4
	VMOVQ   X0, R9
	XORQ    (SI), R9
	MOVQ    R9, (DI)
	VPSRLDQ $8, X0, X0
	ADDQ    $8, SI
	ADDQ    $8, DI

part4:
	VMOVQ X0, R9
	TESTQ $4, BX
	JZ    part2
	MOVL  (SI), R10
	XORL  R9, R10
	MOVL  R10, (DI)
	SHRQ  $32, R9
	ADDQ  $4, SI
	ADDQ  $4, DI

part2:
	TESTQ $2, BX
	JZ    part1
	MOVW  (SI), R10
	XORL  R9, R10
	MOVW  R10, (DI)
	SHRQ  $16, R9
	ADDQ  $2, SI
	ADDQ  $2, DI

part1:
	TESTQ $1, BX
	JZ    done
	MOVB  (SI), R10
	XORL  R9, R10
	MOVB  R10, (DI)

done:
	RET

// Adds the product of x and y to X1 (low), X2 (middle) and X3 (high). X6 and X7 are used.
#define MULTIPLY(x, y) \
	VPCLMULQDQ $0x00, x, y, X6; \
	VPCLMULQDQ $0x11, x, y, X7; \
	VPXOR      X6, X1, X1;      \
	VPXOR      X7, X3, X3;      \
	VPCLMULQDQ $0x01, x, y, X6; \
	VPCLMULQDQ $0x10, x, y, X7; \
	VPXOR      X6, X2, X2;      \
	VPXOR      X7, X2, X2

// X0 is the sum of the products, times x^-128, modulo the polynomial at X13: the low half is taken away 64 bits at a time, by adding that multiple of the
// polynomial whose lowest bits they are. The sums are zero again. X6 is used.
#define REDUCE \
	VPSLLDQ    $8, X2, X6;        \
	VPSRLDQ    $8, X2, X7;        \
	VPXOR      X6, X1, X1;        \
	VPXOR      X7, X3, X3;        \
	VPCLMULQDQ $0x00, X13, X1, X6; \
	VPSHUFD    $0x4e, X1, X1;     \
	VPXOR      X6, X1, X1;        \
	VPCLMULQDQ $0x00, X13, X1, X6; \
	VPSHUFD    $0x4e, X1, X1;     \
	VPXOR      X6, X1, X1;        \
	VPXOR      X1, X3, X0;        \
	VPXOR      X1, X1, X1;        \
	VPXOR      X2, X2, X2;        \
	VPXOR      X3, X3, X3

// func multiply(z, x, y *[2]uint64)
TEXT ·multiply(SB), NOSPLIT, $0-24
	MOVQ    z+0(FP), DI
	MOVQ    x+8(FP), SI
	MOVQ    y+16(FP), DX
	VMOVDQU poly<>(SB), X13
	VMOVDQU (SI), X4
	VMOVDQU (DX), X5
	VPXOR   X1, X1, X1
	VPXOR   X2, X2, X2
	VPXOR   X3, X3, X3
	MULTIPLY(X4, X5)
	REDUCE
	VMOVDQU X0, (DI)
	RET

// func gcmTag(tag *[16]byte, round *[60]uint32, rounds int64, auth *[16]uint32, a, b uint64, aad *byte, aadLen int, p *byte, n int)
TEXT ·gcmTag(SB), NOSPLIT, $0-80
	// X15 is the key stream of the tag, which nothing has to wait for.
	MOVQ    round+8(FP), AX
	MOVQ    rounds+16(FP), CX
	VMOVQ   a+32(FP), X15
	VPINSRQ $1, b+40(FP), X15, X15
	VPXOR   (AX), X15, X15
	SUBQ    $10, CX
	JZ      ten
	VAESENC 16(AX), X15, X15
	VAESENC 32(AX), X15, X15
	VAESENC 48(AX), X15, X15
	VAESENC 64(AX), X15, X15
	ADDQ    $64, AX

ten:
	VAESENC     16(AX), X15, X15
	VAESENC     32(AX), X15, X15
	VAESENC     48(AX), X15, X15
	VAESENC     64(AX), X15, X15
	VAESENC     80(AX), X15, X15
	VAESENC     96(AX), X15, X15
	VAESENC     112(AX), X15, X15
	VAESENC     128(AX), X15, X15
	VAESENC     144(AX), X15, X15
	VAESENCLAST 160(AX), X15, X15

	// Four blocks are multiplied by four powers of the key, the last one by the first power, before their sum is reduced. So that the last block of all is the
	// last of four, the first ones are fewer. R10 is the first power, R9 that of the next block.
	MOVQ aad+48(FP), SI
	MOVQ aadLen+56(FP), BX
	MOVQ n+72(FP), DX
	MOVQ auth+24(FP), R10
	LEAQ 15(BX), R9
	LEAQ 15(DX), R11
	SHRQ $4, R9
	SHRQ $4, R11
	ADDQ R11, R9
	ANDQ $3, R9
	SHLQ $4, R9
	ADDQ R10, R9

	VMOVDQU reversed<>(SB), X14
	VMOVDQU poly<>(SB), X13
	VPXOR   X0, X0, X0
	VPXOR   X1, X1, X1
	VPXOR   X2, X2, X2
	VPXOR   X3, X3, X3
	XORL    R12, R12          // 0: additional data, 1: ciphertext, 2: lengths

next:
	CMPQ BX, $16
	JB   short

	// Four blocks whose powers are the four.
	CMPQ    BX, $64
	JB      whole
	LEAQ    48(R10), R11
	CMPQ    R9, R11
	JNE     whole
	VMOVDQU (SI), X4
	VMOVDQU 16(SI), X5
	VMOVDQU 32(SI), X8
	VMOVDQU 48(SI), X9
	VPSHUFB X14, X4, X4
	VPSHUFB X14, X5, X5
	VPSHUFB X14, X8, X8
	VPSHUFB X14, X9, X9
	VMOVDQU 32(R10), X10
	VMOVDQU 16(R10), X11
	VMOVDQU (R10), X12
	MULTIPLY(X5, X10)
	MULTIPLY(X8, X11)
	MULTIPLY(X9, X12)
	VMOVDQU 48(R10), X10
	VPXOR   X0, X4, X4
	MULTIPLY(X4, X10)
	REDUCE
	ADDQ    $64, SI
	SUBQ    $64, BX
	JMP     next

whole:
	VMOVDQU (SI), X4
	VPSHUFB X14, X4, X4
	ADDQ    $16, SI
	SUBQ    $16, BX

step:
	VPXOR   X0, X4, X4
	VPXOR   X0, X0, X0
	VMOVDQU (R9), X5
	MULTIPLY(X4, X5)
	SUBQ    $16, R9
	CMPQ    R9, R10
	JAE     next
	REDUCE
	LEAQ    48(R10), R9
	JMP     next

short:
	TESTQ BX, BX
	JZ    over

	// Fewer than 16 bytes, with zeros behind them: nothing behind the end is read. They are put together from the last one on.
	XORL  R11, R11
	XORL  R13, R13
	TESTQ $1, BX
	JZ    short2
	MOVBLZX -1(SI)(BX*1), R11
	SUBQ  $1, BX

short2:
	TESTQ $2, BX
	JZ    short4
	SHLQ  $16, R11
	MOVWLZX -2(SI)(BX*1), AX
	ORQ   AX, R11
	SUBQ  $2, BX

short4:
	TESTQ $4, BX
	JZ    short8
	SHLQ  $32, R11
	MOVL  -4(SI)(BX*1), AX
	ORQ   AX, R11
	SUBQ  $4, BX

short8:
	TESTQ BX, BX
	JZ    put
	MOVQ  R11, R13
	MOVQ  (SI), R11

put:
	XORL    BX, BX
	VMOVQ   R11, X4
	VPINSRQ $1, R13, X4, X4
	VPSHUFB X14, X4, X4
	JMP     step

over:
	INCQ R12
	CMPQ R12, $2
	JE   lengths
	JA   done
	MOVQ p+64(FP), SI
	MOVQ DX, BX
	JMP  next

lengths:
	MOVQ    aadLen+56(FP), AX
	SHLQ    $3, AX
	SHLQ    $3, DX
	VMOVQ   DX, X4
	VPINSRQ $1, AX, X4, X4
	JMP     step

done:
	MOVQ    tag+0(FP), DI
	VPSHUFB X14, X0, X0
	VPXOR   X15, X0, X0
	VMOVDQU X0, (DI)
	RET
