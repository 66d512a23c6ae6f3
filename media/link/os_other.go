//go:build !linux

package link

import (
	"errors"
	"os"
	"os/exec"

	"github.com/cordonsip/cordon/internal/osnet"
)

// program is found by its name here.
const program = "cordon"

// Supported says that this system can have media processes.
const Supported = false

// detach is not known here.
func detach(*exec.Cmd) {}

// looking is not supported here.
func looking(*osnet.Shared) (*osnet.Shared, error) { return nil, errors.ErrUnsupported }

// own is not supported here.
func own(*osnet.Shared) (*os.File, error) { return nil, errors.ErrUnsupported }

// Prepare has nothing to do here.
func Prepare() {}
