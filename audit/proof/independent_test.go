package proof_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// This file is a second checker of the files, written from docs/reference/proofs.md with the standard library alone. It shares nothing with the package
// that it stands beside: where the two disagree, one of them or the page is wrong.

type publicKey struct {
	name string
	id   []byte // 4 bytes
	key  ed25519.PublicKey
}

// checkFile checks a file of either kind against the log's key and the witnesses' keys, of which so many must have signed.
func checkFile(file, logKey string, witnesses []string, quorum int) error {
	switch {
	case strings.HasPrefix(file, "c2sp.org/tlog-proof@v1\n"):
		return checkEntry(strings.TrimPrefix(file, "c2sp.org/tlog-proof@v1\n"), logKey, witnesses, quorum)
	case strings.HasPrefix(file, "cordon/consistency-proof@v1\n"):
		return checkConsistency(strings.TrimPrefix(file, "cordon/consistency-proof@v1\n"), logKey, witnesses, quorum)
	}
	return errors.New("no such file")
}

func strict64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, errors.New("base64")
	}
	return b, nil
}

func number(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || fmt.Sprint(n) != s {
		return 0, errors.New("number")
	}
	return n, nil
}

// cut takes the line that begins with word from the front of s.
func cut(s, word string) (value, rest string, err error) {
	line, rest, ok := strings.Cut(s, "\n")
	value, ok2 := strings.CutPrefix(line, word+" ")
	if !ok || !ok2 {
		return "", "", errors.New(word)
	}
	return value, rest, nil
}

func hashLines(s string) (hashes [][]byte, rest string, err error) {
	for {
		line, more, ok := strings.Cut(s, "\n")
		if !ok {
			return nil, "", errors.New("no empty line")
		}
		if s = more; line == "" {
			return hashes, s, nil
		}
		h, err := strict64(line)
		if err != nil || len(h) != 32 {
			return nil, "", errors.New("hash")
		}
		hashes = append(hashes, h)
	}
}

func leafHash(b []byte) []byte {
	h := sha256.Sum256(append([]byte{0}, b...))
	return h[:]
}

func nodeHash(l, r []byte) []byte {
	h := sha256.Sum256(append(append([]byte{1}, l...), r...))
	return h[:]
}

func checkEntry(s, logKey string, witnesses []string, quorum int) error {
	extra, s, err := cut(s, "extra")
	if err != nil {
		return err
	}
	leaf, err := strict64(extra)
	if err != nil {
		return err
	}
	digits, s, err := cut(s, "index")
	if err != nil {
		return err
	}
	index, err := number(digits)
	if err != nil {
		return err
	}
	hashes, note, err := hashLines(s)
	if err != nil {
		return err
	}
	size, root, err := checkNote(note, logKey, witnesses, quorum)
	if err != nil {
		return err
	}
	if index >= size {
		return errors.New("index")
	}
	// RFC 9162 section 2.1.3.2.
	fn, sn, r := index, size-1, leafHash(leaf)
	for _, p := range hashes {
		if sn == 0 {
			return errors.New("too many hashes")
		}
		if fn&1 == 1 || fn == sn {
			r = nodeHash(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = nodeHash(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || string(r) != string(root) {
		return errors.New("another root")
	}
	return nil
}

func checkConsistency(s, logKey string, witnesses []string, quorum int) error {
	a, s, err := cut(s, "from")
	if err != nil {
		return err
	}
	b, s, err := cut(s, "to")
	if err != nil {
		return err
	}
	from, err1 := number(a)
	to, err2 := number(b)
	hashes, s, err3 := hashLines(s)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if from > uint64(len(s)) || to != uint64(len(s))-from {
		return errors.New("lengths")
	}
	first, firstRoot, err1 := checkNote(s[:from], logKey, witnesses, quorum)
	second, secondRoot, err2 := checkNote(s[from:], logKey, witnesses, quorum)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	switch {
	case first > second:
		return errors.New("rolled back")
	case first == second && string(firstRoot) != string(secondRoot):
		return errors.New("fork")
	case first == 0:
		if empty := sha256.Sum256(nil); len(hashes) > 0 || string(firstRoot) != string(empty[:]) {
			return errors.New("empty tree")
		}
		return nil
	case first == second:
		if len(hashes) > 0 {
			return errors.New("hashes of nothing")
		}
		return nil
	}
	return follows(first, second, firstRoot, secondRoot, hashes)
}

// follows is RFC 9162 section 2.1.4.2.
func follows(first, second uint64, firstRoot, secondRoot []byte, path [][]byte) error {
	if first&(first-1) == 0 {
		path = append([][]byte{firstRoot}, path...)
	}
	if len(path) == 0 {
		return errors.New("no hashes")
	}
	fn, sn := first-1, second-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := path[0], path[0]
	for _, c := range path[1:] {
		if sn == 0 {
			return errors.New("too many hashes")
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = nodeHash(c, fr), nodeHash(c, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = nodeHash(sr, c)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || string(fr) != string(firstRoot) || string(sr) != string(secondRoot) {
		return errors.New("another root")
	}
	return nil
}

// readKey takes NAME+ID+KEY apart. The algorithm is what the signature will be of.
func readKey(vkey string, algorithm byte) (k publicKey, err error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return k, errors.New("key")
	}
	b, err := strict64(parts[2])
	if err != nil || len(b) != 33 {
		return k, errors.New("key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"+string(algorithm)), b[1:]...))
	return publicKey{parts[0], sum[:4], b[1:]}, nil
}

func checkNote(note, logKey string, witnesses []string, quorum int) (size uint64, root []byte, err error) {
	text, sigs, ok := strings.Cut(note, "\n\n")
	if !ok {
		return 0, nil, errors.New("no note")
	}
	text += "\n"
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return 0, nil, errors.New("three lines")
	}
	key, err := readKey(logKey, 1)
	if err != nil {
		return 0, nil, err
	}
	if err := checkSignatures(text, sigs, key, witnesses, quorum); err != nil {
		return 0, nil, err
	}
	if lines[0] != key.name {
		return 0, nil, errors.New("origin")
	}
	if size, err = number(lines[1]); err != nil {
		return 0, nil, err
	}
	if root, err = strict64(lines[2]); err != nil || len(root) != 32 {
		return 0, nil, errors.New("root")
	}
	return size, root, nil
}

func checkSignatures(text, sigs string, key publicKey, witnesses []string, quorum int) error {
	byLog, byWitness := false, map[string]bool{}
	for line := range strings.Lines(sigs) {
		rest, ok := strings.CutPrefix(line, "\u2014 ")
		name, value, ok2 := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
		sig, err := strict64(value)
		if !ok || !ok2 || err != nil || len(sig) < 5 || !strings.HasSuffix(line, "\n") {
			return errors.New("signature line")
		}
		if name == key.name && string(sig[:4]) == string(key.id) {
			if !ed25519.Verify(key.key, []byte(text), sig[4:]) {
				return errors.New("signature of the log")
			}
			byLog = true
		}
		for _, w := range witnesses {
			k, err := readKey(w, 4)
			if err != nil {
				return err
			}
			if name != k.name || string(sig[:4]) != string(k.id) {
				continue
			}
			if len(sig) != 76 {
				return errors.New("cosignature")
			}
			signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig[4:12]), text)
			if !ed25519.Verify(k.key, []byte(signed), sig[12:]) {
				return errors.New("cosignature")
			}
			byWitness[k.name] = true
		}
	}
	if !byLog || len(byWitness) < quorum {
		return errors.New("too few signatures")
	}
	return nil
}
