//go:build !linux

package audit

import (
	"math"
	"os"
)

// allocate takes blocks by writing them.
func allocate(f *os.File, offset, n int64) error { return fill(f, offset, n) }

// free is not known here and counts as plenty: growing the reserve then simply fails when there is no room.
func free(string) int64 { return math.MaxInt64 }

// dataSync asks for more than it must where nothing less is to be had everywhere.
const dataSync = os.O_SYNC

// direct is to be had elsewhere, or not with this meaning.
const direct = 0

// uncache is for speed only.
func uncache(*os.File) {}
