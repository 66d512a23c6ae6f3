package srtp

// Suite is a pair of cipher and authentication. The zero value is none.
type Suite uint8

const (
	AES128CM80 Suite = iota + 1 // AES_CM_128_HMAC_SHA1_80, RFC 4568 section 6.2.1
	AES128CM32                  // AES_CM_128_HMAC_SHA1_32, RFC 4568 section 6.2.2: SRTCP has a tag of 80 bits all the same
	AES256CM80                  // AES_256_CM_HMAC_SHA1_80, RFC 6188 section 4.1
	AES256CM32                  // AES_256_CM_HMAC_SHA1_32, RFC 6188 section 4.2
	AES128GCM                   // AEAD_AES_128_GCM, RFC 7714 section 14.1
	AES256GCM                   // AEAD_AES_256_GCM, RFC 7714 section 14.1
)

// Lengths of the authentication tags in bytes.
const (
	tag80  = 10
	tag32  = 4
	tagGCM = 16
)

// Lengths gives the bytes of master key and master salt, 0 and 0 for no suite: RFC 4568 section 6.2, RFC 6188 section 2, RFC 7714 section 12.
func (s Suite) Lengths() (key, salt int) {
	switch s {
	case AES128CM80, AES128CM32:
		return 16, 14
	case AES256CM80, AES256CM32:
		return 32, 14
	case AES128GCM:
		return 16, 12
	case AES256GCM:
		return 32, 12
	}
	return 0, 0
}

// String is the name that RFC 4568, RFC 6188 or RFC 7714 gave the suite in SDP.
func (s Suite) String() string {
	switch s {
	case AES128CM80:
		return "AES_CM_128_HMAC_SHA1_80"
	case AES128CM32:
		return "AES_CM_128_HMAC_SHA1_32"
	case AES256CM80:
		return "AES_256_CM_HMAC_SHA1_80"
	case AES256CM32:
		return "AES_256_CM_HMAC_SHA1_32"
	case AES128GCM:
		return "AEAD_AES_128_GCM"
	case AES256GCM:
		return "AEAD_AES_256_GCM"
	}
	return "none"
}

func (s Suite) aead() bool { return s >= AES128GCM }

// tag is the length of the tag of an RTP packet, for the suites that are not AEAD.
func (s Suite) tag() int {
	if s == AES128CM32 || s == AES256CM32 {
		return tag32
	}
	return tag80
}
