package book

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// A book is the magic and then frames:
//
//	4 bytes  length of the body, little-endian
//	4 bytes  CRC-32C of these 4 bytes and the body
//	body     1 byte what (1 put, 2 delete), 1 byte length of the key, the key, the value of a put
//
// A length of zero is no frame, so zeros that a file system left behind the end are none either. Another version of this format has another magic; what a value
// means is the matter of who put it.
const magic = "cordon book, version 1\n"

const (
	opPut    = 1
	opDelete = 2
	frontLen = 8
)

var errNotOurs = errors.New("no book of this version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func head() []byte { return []byte(magic) }

func appendPut(b []byte, key string, value []byte) []byte {
	from := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, opPut, byte(len(key)))
	return sealed(append(append(b, key...), value...), from)
}

func appendDelete(b []byte, key string) []byte {
	from := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, opDelete, byte(len(key)))
	return sealed(append(b, key...), from)
}

// sealed writes length and sum of the frame that begins at from and ends b.
func sealed(b []byte, from int) []byte {
	f := b[from:]
	binary.LittleEndian.PutUint32(f, uint32(len(f)-frontLen))
	binary.LittleEndian.PutUint32(f[4:], sum(f))
	return b
}

func sum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:4], castagnoli), castagnoli, frame[frontLen:])
}

// next takes one frame off raw. False: there is none, or it is torn.
func next(raw []byte) (op byte, key, value []byte, size int, ok bool) {
	if len(raw) < frontLen+2 {
		return 0, nil, nil, 0, false
	}
	n := binary.LittleEndian.Uint32(raw)
	if n < 3 || n > 2+MaxKey+MaxValue || uint64(n) > uint64(len(raw)-frontLen) {
		return 0, nil, nil, 0, false
	}
	frame := raw[:frontLen+int(n)]
	if binary.LittleEndian.Uint32(frame[4:]) != sum(frame) {
		return 0, nil, nil, 0, false
	}
	body := frame[frontLen:]
	op, k := body[0], int(body[1])
	if op != opPut && op != opDelete || k == 0 || len(body) < 2+k || op == opDelete && len(body) != 2+k {
		return 0, nil, nil, 0, false
	}
	return op, body[2 : 2+k], body[2+k:], len(frame), true
}

// read replays a book up to the first frame that does not read, and says how many bytes that are. An error says that it is none.
func read(raw []byte) (list []Record, whole int64, err error) {
	if !bytes.HasPrefix(raw, []byte(magic)) {
		if len(raw) < len(magic) && bytes.HasPrefix([]byte(magic), raw) {
			return nil, 0, nil // we died while it was made
		}
		return nil, 0, errNotOurs
	}
	at := map[string]int{} // index in list
	rest := raw[len(magic):]
	for {
		op, key, value, size, ok := next(rest)
		if !ok {
			break
		}
		if i, was := at[string(key)]; was {
			list[i].Key = ""
			delete(at, string(key))
		}
		if op == opPut {
			at[string(key)] = len(list)
			list = append(list, Record{string(key), bytes.Clone(value)})
		}
		rest = rest[size:]
	}
	list = slices.DeleteFunc(list, func(r Record) bool { return r.Key == "" })
	return list, int64(len(raw) - len(rest)), nil
}
