package media

// wellKnown gives s as the program has it, for what nearly all descriptions are made of; "" of anything else. What is kept of a description for the time of its
// call then holds none of the text that came.
func wellKnown(s string) string {
	switch s {
	case "audio":
		return "audio"
	case "video":
		return "video"
	case kindImage:
		return kindImage
	case protoUDPTL:
		return protoUDPTL
	case formatT38:
		return formatT38
	case protoAVP:
		return protoAVP
	case protoSAVP:
		return protoSAVP
	case protoAVPF:
		return protoAVPF
	case protoSAVPF:
		return protoSAVPF
	case string(AEAD_AES_256_GCM):
		return string(AEAD_AES_256_GCM)
	case string(AEAD_AES_128_GCM):
		return string(AEAD_AES_128_GCM)
	case string(AES_256_CM_SHA1_80):
		return string(AES_256_CM_SHA1_80)
	case string(AES_CM_128_HMAC_SHA1_80):
		return string(AES_CM_128_HMAC_SHA1_80)
	case string(AES_CM_128_HMAC_SHA1_32):
		return string(AES_CM_128_HMAC_SHA1_32)
	}
	if len(s) <= 3 {
		return wellKnownNumber(s)
	}
	return wellKnownCoding(s)
}

// wellKnownNumber is wellKnown of a payload type, of the milliseconds of a packet, or of the tag of a key.
func wellKnownNumber(s string) string {
	const digits = "0123456789"
	n := len(s)
	switch {
	case n == 1 && s[0] >= '0' && s[0] <= '9':
		return digits[s[0]-'0' : s[0]-'0'+1]
	case n < 2:
		return ""
	}
	switch s {
	case "13":
		return "13"
	case "18":
		return "18"
	case "20":
		return "20"
	case "30":
		return "30"
	case "40":
		return "40"
	case "60":
		return "60"
	case "96":
		return "96"
	case "97":
		return "97"
	case "98":
		return "98"
	case "99":
		return "99"
	case "100":
		return "100"
	case "101":
		return "101"
	case "102":
		return "102"
	case "111":
		return "111"
	case "120":
		return "120"
	case "127":
		return "127"
	case "150":
		return "150"
	}
	return ""
}

// wellKnownCoding is wellKnown of the values of rtpmap and fmtp.
func wellKnownCoding(s string) string {
	switch s {
	case "0 PCMU/8000":
		return "0 PCMU/8000"
	case "3 GSM/8000":
		return "3 GSM/8000"
	case "8 PCMA/8000":
		return "8 PCMA/8000"
	case "9 G722/8000":
		return "9 G722/8000"
	case "13 CN/8000":
		return "13 CN/8000"
	case "18 G729/8000":
		return "18 G729/8000"
	case "18 annexb=no":
		return "18 annexb=no"
	case "96 telephone-event/8000":
		return "96 telephone-event/8000"
	case "96 0-15":
		return "96 0-15"
	case "96 0-16":
		return "96 0-16"
	case "100 telephone-event/8000":
		return "100 telephone-event/8000"
	case "100 0-15":
		return "100 0-15"
	case "101 telephone-event/8000":
		return "101 telephone-event/8000"
	case "101 0-15":
		return "101 0-15"
	case "101 0-16":
		return "101 0-16"
	case "111 opus/48000/2":
		return "111 opus/48000/2"
	}
	return ""
}
