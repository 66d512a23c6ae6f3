package worm

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/worm/s3"
)

// Source is the copy of one log, as it is read to bring the log back. Of each name the oldest version counts: whoever has the node's key can put others, or a
// marker of deletion, in front of it, and cannot remove it.
type Source struct {
	bucket *s3.Bucket
	keys   *proof.Keys
	names  names
	odd    map[string]string // versions of names of pieces that have more than one, or a marker; nil: not looked for yet
}

// NewSource is the copy of the log of k in b.
func NewSource(b *s3.Bucket, k *proof.Keys) *Source {
	return &Source{bucket: b, keys: k.Alone(), names: namesOf(k.Origin())}
}

// Chain gives the keys of the log (proof.NewKeys): the given one, with the hand-overs in the copy that lead from it, or to it, the farthest. Each is signed by both of its
// keys, so it does not matter who put them there. The source takes them.
func (s *Source) Chain(ctx context.Context, key string) (file string, err error) {
	first := proof.FirstKey(key)
	file, most := key, len(s.keys.Handovers())
	var failed error
	err = s.oldest(ctx, string(s.names)+atKey, func(o s3.Object, _ bool) bool {
		var raw []byte
		if raw, failed = s.bucket.Get(ctx, o.Key, o.Version); failed != nil {
			return false
		}
		_, chain, _ := strings.Cut(string(raw), "\n")
		k, err := proof.NewKeys(first+"\n"+chain, nil, 0)
		if err == nil && len(k.Handovers()) > most {
			file, most, s.keys = first+"\n"+chain, len(k.Handovers()), k
		}
		return true
	})
	return file, errors.Join(err, failed)
}

// Found is where a copy ends.
type Found struct {
	Raw      []byte // the newest checkpoint of the log
	Signed   proof.Checkpoint
	Cosigned []byte   // the newest one that witnesses signed, too; nil for none
	Strange  []string // names in front of it that hold no checkpoint of this log
}

// ErrEmpty says that there is nothing of that log.
var ErrEmpty = errors.New("worm: the copy holds no checkpoint of that log")

// maxStrange bounds what is passed over.
const maxStrange = 1000

// oldest gives the oldest version of each name under prefix, in their order, and whether others stand in front of it.
func (s *Source) oldest(ctx context.Context, prefix string, more func(o s3.Object, odd bool) bool) error {
	var last s3.Object
	seen, on := 0, true
	give := func() {
		if seen > 0 && last.Key != "" && !last.Deleted {
			on = more(last, seen > 1)
		}
	}
	err := s.bucket.Versions(ctx, prefix, func(o s3.Object) bool {
		if o.Key != last.Key {
			if give(); !on {
				return false
			}
			last, seen = s3.Object{Key: o.Key, Deleted: true}, 0
		}
		if seen++; !o.Deleted {
			last = o
		}
		return true
	})
	if err == nil && on {
		give()
	}
	return err
}

// Find gives the newest checkpoint that the log signed. Two of one size with different roots are two histories: nothing is brought back then.
func (s *Source) Find(ctx context.Context) (Found, error) {
	var f Found
	var failed error
	err := s.oldest(ctx, string(s.names)+atCheckpoint, func(o s3.Object, _ bool) bool {
		size, err := sizeOf(o.Key)
		if err == nil && f.Raw != nil && size != f.Signed.Size {
			return false
		}
		raw, cp, err := s.checkpoint(ctx, o)
		var bad *strange
		switch {
		case errors.As(err, &bad):
			f.Strange = append(f.Strange, o.Key[len(s.names):])
			return len(f.Strange) < maxStrange
		case err != nil:
			failed = err
			return false
		case f.Raw == nil:
			f.Raw, f.Signed = raw, cp
		case cp.Root != f.Signed.Root:
			failed = fmt.Errorf("worm: the copy holds two histories: two signed checkpoints of %d entries, with the roots %s and %s: keep both", cp.Size, f.Signed.Root, cp.Root)
			return false
		}
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return Found{}, err
	}
	if f.Raw == nil {
		return f, ErrEmpty
	}
	err = s.oldest(ctx, string(s.names)+atCosigned, func(o s3.Object, _ bool) bool {
		var bad *strange
		if f.Cosigned, _, failed = s.checkpoint(ctx, o); errors.As(failed, &bad) {
			failed = nil
			return true
		}
		return false
	})
	return f, errors.Join(err, failed)
}

// strange is an object that is no checkpoint of the log.
type strange struct{ error }

func (s *Source) checkpoint(ctx context.Context, o s3.Object) ([]byte, proof.Checkpoint, error) {
	if o.Size > proof.MaxCheckpoint {
		return nil, proof.Checkpoint{}, &strange{errors.New("too long")}
	}
	raw, err := s.bucket.Get(ctx, o.Key, o.Version)
	if err != nil {
		return nil, proof.Checkpoint{}, err
	}
	cp, err := s.keys.Open(raw)
	if err != nil {
		return nil, cp, &strange{err}
	}
	return raw, cp, nil
}

// Fetch makes the folder of the log in dir, which must not exist, and checks every entry, tile and signature of it.
func (s *Source) Fetch(ctx context.Context, f Found, dir string) (audit.Verification, error) {
	if err := s.look(ctx); err != nil {
		return audit.Verification{}, err
	}
	err := audit.Rebuild(ctx, dir, f.Raw, s.keys, func(p audit.Piece) ([]byte, error) {
		name := s.names.piece(p)
		raw, err := s.bucket.Get(ctx, name, s.odd[name])
		if errors.Is(err, s3.ErrNone) {
			err = errors.New("it is not in the copy")
		}
		return raw, err
	})
	if err != nil {
		return audit.Verification{}, err
	}
	v, err := audit.VerifyWith(ctx, dir, s.keys)
	if err == nil && v.Bad != nil {
		err = fmt.Errorf("worm: the copy does not hold: %w", v.Bad)
	}
	return v, err
}

// look finds the pieces that somebody put other versions in front of.
func (s *Source) look(ctx context.Context) error {
	if s.odd != nil {
		return nil
	}
	odd := map[string]string{}
	for _, at := range []string{"tile/", atEdge} {
		err := s.oldest(ctx, string(s.names)+at, func(o s3.Object, more bool) bool {
			if more {
				odd[o.Key] = o.Version
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	s.odd = odd
	return nil
}

// Odd are the names that have other versions in front of the one that counts. It is known after Fetch.
func (s *Source) Odd() (out []string) {
	for name := range s.odd {
		out = append(out, name[len(s.names):])
	}
	slices.Sort(out)
	return out
}

// ErrNoKeys says that no keys in the copy open for this recovery key and are those of the log.
var ErrNoKeys = errors.New("worm: no keys in the copy open for this recovery key and are those of the log")

// Keys gives the newest files of keys that fit says are those of the log: anybody who can write there can seal others.
func (s *Source) Keys(ctx context.Context, by *RecoveryKey, fit func(files map[string][]byte) bool) (map[string][]byte, error) {
	var out map[string][]byte
	var failed error
	err := s.oldest(ctx, string(s.names)+atKeys, func(o s3.Object, _ bool) bool {
		var b bundle
		if b, failed = s.bundle(ctx, by, o, atKeys); failed == nil && fit(b.Files) {
			out = b.Files
		}
		if errors.Is(failed, errSealed) {
			failed = nil
		}
		return out == nil && failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, ErrNoKeys
	}
	return out, nil
}

var errSealed = errors.New("does not open")

func (s *Source) unseal(ctx context.Context, by *RecoveryKey, o s3.Object, at string) ([]byte, error) {
	box, err := s.bucket.Get(ctx, o.Key, o.Version)
	if err != nil {
		return nil, err
	}
	raw, err := by.open(sealInfo(s.keys.Origin(), at), box)
	if err != nil {
		return nil, fmt.Errorf("worm: %s: %w", o.Key[len(s.names):], errSealed)
	}
	return raw, nil
}

func (s *Source) bundle(ctx context.Context, by *RecoveryKey, o s3.Object, at string) (bundle, error) {
	var b bundle
	raw, err := s.unseal(ctx, by, o, at)
	if err == nil && json.Unmarshal(raw, &b) != nil {
		err = fmt.Errorf("worm: %s: %w", o.Key[len(s.names):], errSealed)
	}
	return b, err
}

// Names brings back what gives the log's pseudonyms their meaning, into a folder that must not exist: the newest of each that the node itself named, which
// mac, of its keys, tells from what others put there. It gives the number of files of salts and of people.
func (s *Source) Names(ctx context.Context, by *RecoveryKey, mac func([]byte) []byte, dir string) (salts, people int, err error) {
	b := bundle{}
	raw, err := s.newest(ctx, by, mac, atPeople)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, &b)
	}
	if err == nil {
		err = WriteFiles(filepath.Join(dir, peopleFolder), b.Files)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("worm: people: %w", err)
	}
	days, err := s.days(ctx)
	if err != nil {
		return 0, 0, err
	}
	for day, parts := range days {
		var all []byte
		for part := range parts {
			raw, err := s.newest(ctx, by, mac, fmt.Sprintf("%s%s.%03d/", atSalts, day, part))
			if err != nil {
				return 0, 0, fmt.Errorf("worm: salts: %w", err)
			}
			all = append(all, raw...)
		}
		if err := WriteFiles(filepath.Join(dir, saltsFolder), map[string][]byte{day + saltsSuffix: all}); err != nil {
			return 0, 0, err
		}
	}
	return len(days), len(b.Files), nil
}

// days gives the number of parts of the salts of each day.
func (s *Source) days(ctx context.Context) (map[string]int, error) {
	days, prefix := map[string]int{}, string(s.names)+atSalts
	err := s.oldest(ctx, prefix, func(o s3.Object, _ bool) bool {
		day, rest, _ := strings.Cut(o.Key[len(prefix):], ".")
		part, _, _ := strings.Cut(rest, "/")
		if n := 0; len(day) == 8 && strings.Trim(day, "0123456789") == "" {
			if _, err := fmt.Sscanf(part, "%03d", &n); err == nil {
				days[day] = max(days[day], n+1)
			}
		}
		return true
	})
	return days, err
}

// newest gives the newest of a kind whose name is that of its content under mac; nil for none.
func (s *Source) newest(ctx context.Context, by *RecoveryKey, mac func([]byte) []byte, at string) (out []byte, err error) {
	var failed error
	err = s.oldest(ctx, string(s.names)+at, func(o s3.Object, _ bool) bool {
		raw, e := s.unseal(ctx, by, o, at)
		switch {
		case errors.Is(e, errSealed):
		case e != nil:
			failed = e
		case strings.HasSuffix(o.Key, "-"+hex.EncodeToString(mac(append([]byte(at+"\x00"), raw...))[:16])):
			out = raw
		}
		return out == nil && failed == nil
	})
	return out, errors.Join(err, failed)
}

// WriteFiles writes files that only their owner may read into a folder, which is made.
func WriteFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("worm: %w", err)
	}
	for name, raw := range files {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("worm: %q is no name of a file that was copied", name)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("worm: %w", err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_, err = f.Write(raw)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("worm: %w", err)
		}
	}
	return nil
}
