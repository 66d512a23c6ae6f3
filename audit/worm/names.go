package worm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// The kinds of names below the origin of a log. Those of pieces are their paths in the folder.
const (
	atEdge       = "edge/"       // pieces that are not full, which full ones take the place of
	atCheckpoint = "checkpoint/" // newest first
	atCosigned   = "cosigned/"   // those that enough witnesses signed, newest first
	atKey        = "vkey/"
	atProbe      = "probe/"
	atKeys       = "sealed/keys/"
	atPeople     = "erasable/people/"
	atSalts      = "erasable/salts/"
)

// names of the objects of one log.
type names string // its origin and a slash

func namesOf(origin string) names { return names(origin + "/") }

func (n names) piece(p audit.Piece) string {
	if p.Full() {
		return string(n) + p.Name()
	}
	return string(n) + atEdge + p.Name()
}

// checkpoint names one by its size, so that the newest comes first in a listing, and by its content: one of the same size may carry more signatures.
func (n names) checkpoint(at string, size uint64, raw []byte) string {
	sum := sha256.Sum256(raw)
	return fmt.Sprintf("%s%s%019d-%d-%s", n, at, math.MaxInt64-size, size, hex.EncodeToString(sum[:8]))
}

// sizeOf reads the size in the name of a checkpoint.
func sizeOf(key string) (uint64, error) {
	parts := strings.Split(key[strings.LastIndexByte(key, '/')+1:], "-")
	if len(parts) == 3 {
		turned, err1 := strconv.ParseUint(parts[0], 10, 63)
		size, err2 := strconv.ParseUint(parts[1], 10, 63)
		if err1 == nil && err2 == nil && turned == math.MaxInt64-size {
			return size, nil
		}
	}
	return 0, fmt.Errorf("worm: %s is no name of a checkpoint", key)
}

func (n names) vkey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return string(n) + atKey + hex.EncodeToString(sum[:8])
}

func (n names) probe(day time.Time) string { return string(n) + atProbe + day.UTC().Format("20060102") }

// sealed names what is sealed by the time, newest first, and by a keyed digest of what is in it, which says nothing to others.
func (n names) sealed(at string, now time.Time, mac string) string {
	return fmt.Sprintf("%s%s%019d-%s", n, at, math.MaxInt64-max(0, now.UnixMilli()), mac)
}
