package audit

import (
	"strconv"
	"strings"
)

// Country codes assigned by ITU-T, Complement to Recommendation E.164 (list of assigned country codes). A code is one digit for world
// zones 1 and 7, two digits where the table below says so and three everywhere else, so no code is the beginning of another.
const (
	e164Two   = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "
	e164Three = " 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241 242 243 244 245" +
		" 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 297 298 299" +
		" 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 379 380 381 382 383 385 386 387 389" +
		" 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 599" +
		" 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 692" +
		" 800 808 850 852 853 855 856 870 878 880 881 882 883 886 888 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979" +
		" 992 993 994 995 996 998 "
)

// codeDigits is how many digits the country code has with which a number begins, by its first three; 0: none is assigned.
var codeDigits = func() (digits [1000]uint8) {
	for i := range digits {
		switch three := strconv.Itoa(1000 + i)[1:]; {
		case three[0] == '1' || three[0] == '7':
			digits[i] = 1
		case strings.Contains(e164Two, " "+three[:2]+" "):
			digits[i] = 2
		case strings.Contains(e164Three, " "+three+" "):
			digits[i] = 3
		}
	}
	return digits
}()

// CountryCode gives the country calling code of an E.164 number with its plus, e.g. "+49", and "" for anything else: a number
// without a plus is local to a plan that nobody named. E.164 section 6: at most 15 digits in all.
func CountryCode(number string) string {
	d, ok := strings.CutPrefix(number, "+")
	if !ok || len(d) < 4 || len(d) > 15 {
		return ""
	}
	first := 0
	for i := range len(d) {
		digit := d[i] - '0'
		if digit > 9 {
			return ""
		}
		if i < 3 {
			first = 10*first + int(digit)
		}
	}
	if n := codeDigits[first]; n > 0 {
		return number[:1+n]
	}
	return ""
}
