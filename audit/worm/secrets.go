package worm

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit/worm/s3"
)

// The folders of a state folder.
const (
	logFolder    = "log"
	keysFolder   = "keys"
	namesFolder  = "pseudonyms"
	peopleFolder = "people"
	saltsFolder  = "salts"
)

const (
	saltsSuffix = ".salts"
	maxPart     = 32 << 20 // bytes of a file of salts in one object
	maxSecret   = 1 << 20  // bytes of a key or of what is kept of a person
)

// mark tells whether a file changed.
type mark struct {
	size int64
	mod  time.Time
}

// bundle are the small files of a folder, by their names.
type bundle struct {
	Files map[string][]byte `json:"files"`
}

func (c *Copier) logDir() string { return filepath.Join(c.c.Dir, logFolder) }

// seal copies what a node needs beside its log, to nobody but the owner of the recovery key: keys are locked like the log; what must be erasable is not, and only
// the newest stays.
func (c *Copier) seal(ctx context.Context, now time.Time) error {
	keys, err := readBundle(filepath.Join(c.c.Dir, keysFolder))
	if err != nil {
		return err
	}
	if err := c.sealOne(ctx, atKeys, keys, now, c.c.Keep.From(now)); err != nil {
		return err
	}
	if c.unfree {
		c.refuse(ctx, refusedErasable, "the bucket locks each object by itself: salts and people could not be forgotten there")
		return nil
	}
	c.refused[refusedErasable] = ""
	people, err := readBundle(filepath.Join(c.c.Dir, namesFolder, peopleFolder))
	if err != nil {
		return err
	}
	if err := c.sealOne(ctx, atPeople, people, now, time.Time{}); err != nil {
		return err
	}
	return c.sealSalts(ctx, now)
}

// sealSalts copies the files of salts that changed.
func (c *Copier) sealSalts(ctx context.Context, now time.Time) error {
	dir := filepath.Join(c.c.Dir, namesFolder, saltsFolder)
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("worm: folder of salts: %w", err)
	}
	if err := c.strays(ctx, files); err != nil {
		return err
	}
	for _, f := range files {
		day, ok := strings.CutSuffix(f.Name(), saltsSuffix)
		if !ok {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return fmt.Errorf("worm: salts: %w", err)
		}
		is := mark{info.Size(), info.ModTime()}
		if c.marks[day] == is {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return fmt.Errorf("worm: salts: %w", err)
		}
		for part := 0; part == 0 || part*maxPart < len(raw); part++ {
			at := fmt.Sprintf("%s%s.%03d/", atSalts, day, part)
			if err := c.sealOne(ctx, at, raw[part*maxPart:min(len(raw), (part+1)*maxPart)], now, time.Time{}); err != nil {
				return err
			}
		}
		c.marks[day] = is
	}
	return nil
}

// strays removes for good what is kept of days whose salts are not here any more.
func (c *Copier) strays(ctx context.Context, files []os.DirEntry) error {
	have := map[string]bool{}
	for _, f := range files {
		have[strings.TrimSuffix(f.Name(), saltsSuffix)] = true
	}
	prefix := string(c.names) + atSalts
	return c.remove(ctx, prefix, func(key string) bool {
		day, _, _ := strings.Cut(key[len(prefix):], ".")
		return !have[day]
	})
}

// readBundle reads the files of a folder, those in folders below it included.
func readBundle(dir string) ([]byte, error) {
	b := bundle{map[string][]byte{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") || d.Name() == "lock" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxSecret {
			return fmt.Errorf("%s has %d bytes: the most is %d", path, info.Size(), maxSecret)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		b.Files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("worm: what is sealed: %w", err)
	}
	return json.Marshal(b) // in the order of the names
}

// sealOne stores raw below at, unless the newest there is the same. Where until is zero it is not locked, and what is older there is removed for good.
func (c *Copier) sealOne(ctx context.Context, at string, raw []byte, now, until time.Time) error {
	sum := c.c.MAC(append([]byte(at+"\x00"), raw...))
	mac := hex.EncodeToString(sum[:16])
	if c.sealed[at] == mac {
		return nil
	}
	first, err := c.c.Bucket.First(ctx, string(c.names)+at, 1)
	if err != nil {
		return err
	}
	var name string
	if len(first) > 0 && strings.HasSuffix(first[0], "-"+mac) {
		name = first[0]
	} else {
		if name, err = c.putSealed(ctx, at, raw, mac, now, until); err != nil {
			return err
		}
	}
	if until.IsZero() {
		if err := c.remove(ctx, string(c.names)+at, func(key string) bool { return key != name }); err != nil {
			return err
		}
	}
	c.sealed[at] = mac
	return nil
}

func (c *Copier) putSealed(ctx context.Context, at string, raw []byte, mac string, now, until time.Time) (string, error) {
	box, err := c.c.To.seal(sealInfo(c.keys.Origin(), at), raw)
	if err != nil {
		return "", fmt.Errorf("worm: seal: %w", err)
	}
	name := c.names.sealed(at, now, mac)
	if _, err := c.c.Bucket.Put(ctx, name, box, until); err != nil && !errors.Is(err, s3.ErrThere) {
		c.c.Metrics.objects.WithLabelValues("failed").Inc()
		return "", err
	}
	c.c.Metrics.objects.WithLabelValues("sealed").Inc()
	return name, nil
}

// remove takes away for good what is below prefix and old.
func (c *Copier) remove(ctx context.Context, prefix string, old func(key string) bool) error {
	var list []s3.Object
	err := c.c.Bucket.Versions(ctx, prefix, func(o s3.Object) bool {
		if old(o.Key) {
			list = append(list, o)
		}
		return true
	})
	for _, o := range list {
		if e := c.c.Bucket.DeleteVersion(ctx, o.Key, o.Version); e != nil && !errors.Is(e, s3.ErrNone) {
			err = errors.Join(err, fmt.Errorf("worm: what was forgotten is in the copy still: %w", e))
		} else {
			c.c.Metrics.objects.WithLabelValues("removed").Inc()
		}
	}
	return err
}
