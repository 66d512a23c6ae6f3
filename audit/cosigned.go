package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/cordonsip/cordon/audit/proof"
)

// CosignedFile lies beside the folder of a log: the newest checkpoint that enough witnesses signed.
const CosignedFile = "cosigned.checkpoint"

// KeepCosigned puts a checkpoint that witnesses signed beside the log in dir, at once or not at all.
func KeepCosigned(dir string, raw []byte) error {
	if err := writePages(filepath.Dir(filepath.Clean(dir)), []page{{CosignedFile, raw}}); err != nil {
		return fmt.Errorf("audit: keeping a cosigned checkpoint: %w", err)
	}
	return nil
}

// Cosigned gives the checkpoint that lies beside the log in dir, nil for none.
func Cosigned(dir string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(dir)), CosignedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: cosigned checkpoint: %w", err)
	}
	return raw, nil
}

// openNewest reads the newest checkpoint in dir, or where that lacks the witnesses that k asks for, the one beside the folder that has them. In front of the
// second stands nothing: what is proved under either is proved. unread says that there is no file, or none that can be read.
func openNewest(dir string, k *proof.Keys) (raw []byte, cp proof.Checkpoint, unread, err error) {
	raw, unread = os.ReadFile(filepath.Join(dir, layout.CheckpointPath))
	if unread != nil {
		return nil, cp, unread, nil
	}
	if cp, err = k.Open(raw); err == nil || !k.Witnessed() {
		return raw, cp, nil, err
	}
	beside, rerr := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(dir)), CosignedFile))
	if errors.Is(rerr, fs.ErrNotExist) {
		return raw, cp, nil, err
	}
	if rerr != nil {
		return nil, cp, rerr, nil
	}
	if cp, err = k.Open(beside); err != nil {
		err = fmt.Errorf("%s: %w", CosignedFile, err)
	}
	return beside, cp, nil, err
}

// QuorumMissing says that too few witnesses signed the newest checkpoints of this log.
type QuorumMissing struct {
	Entries  uint64    `json:"entries"` // under the newest checkpoint that enough of them signed, 0: none in this run
	Wanted   int       `json:"wanted"`
	Signed   int       `json:"signed"`   // the newest one
	Since    time.Time `json:"since"`    // when enough of them did for the last time, or the run began
	Failures []string  `json:"failures"` // by name of the witness, where it was asked
}

// QuorumBack says that enough witnesses sign again.
type QuorumBack struct {
	Entries uint64    `json:"entries"` // under the checkpoint that they signed
	Wanted  int       `json:"wanted"`
	Signed  int       `json:"signed"`
	Since   time.Time `json:"since"` // of the entry that said that they were missing
}

func (QuorumMissing) Kind() Kind { return KindQuorumMissing }
func (QuorumBack) Kind() Kind    { return KindQuorumBack }
