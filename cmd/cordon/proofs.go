package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
)

const (
	proofsAhead = 64       // proofs that were read and wait to be checked
	readAtOnce  = 64 << 10 // bytes: most files of one proof are shorter
)

// bulk checks many proofs: some read, some check, and what a checkpoint was found to be is asked once.
type bulk struct {
	keys *proof.Keys
	once *proof.Once
	out  io.Writer
	json bool

	mu  sync.Mutex
	sum bulkSum
}

// bulkSum is what was found in the end.
type bulkSum struct {
	Files    uint64    `json:"files"`
	Proofs   uint64    `json:"proofs"`
	Receipts uint64    `json:"receipts"` // among those that hold
	Holds    uint64    `json:"holds"`
	Bad      uint64    `json:"bad"`
	Unread   uint64    `json:"unread"` // files that could not be read, or not to their end
	From     time.Time `json:"from,omitzero"`
	To       time.Time `json:"to,omitzero"` // of the latest entry that holds
	Seconds  float64   `json:"seconds"`
}

// bulkFault is one thing that does not hold, or was not to be read.
type bulkFault struct {
	File    string `json:"file"`
	Proof   uint64 `json:"proof,omitempty"` // in a file of many, from 1
	Checked bool   `json:"checked"`         // false: it could not be
	Why     string `json:"why"`
}

// piece is one proof as it was read: a whole file, or one of many under a checkpoint.
type piece struct {
	file       string
	n          uint64 // in a file of many, from 1
	raw        []byte
	checkpoint []byte
}

// bulk checks the proofs in files and folders.
func (c *verifyCmd) bulk(ctx context.Context, s streams) error {
	if c.To+c.Export != "" {
		return coded{withHint(errors.New("--to and --export need the folder of a log"), "cordon verify --proofs FOLDER --key=log.vkey"), 2}
	}
	k, err := c.keys(c.Path[0], true)
	if err != nil {
		return err
	}
	b := &bulk{keys: k, once: proof.NewOnce(k), out: s.out, json: c.JSON}
	begun := time.Now()
	if err := b.run(ctx, c.Path); err != nil {
		return err
	}
	b.sum.Seconds = time.Since(begun).Seconds()
	return b.end(k.Origin())
}

// run reads and checks until nothing is left. Memory is bounded by what is on its way.
func (b *bulk) run(ctx context.Context, paths []string) error {
	files, pieces := make(chan string), make(chan piece, proofsAhead)
	var readers, checkers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			buf := make([]byte, readAtOnce)
			for f := range files {
				b.read(f, buf, pieces)
			}
		})
		checkers.Go(func() {
			for p := range pieces {
				b.check(p)
			}
		})
	}
	for _, path := range paths {
		b.walk(ctx, path, files)
	}
	close(files)
	readers.Wait()
	close(pieces)
	checkers.Wait()
	return ctx.Err()
}

// walk gives the files of a folder; what begins with a dot is none of ours.
func (b *bulk) walk(ctx context.Context, path string, files chan<- string) {
	err := filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		switch hidden := at != path && strings.HasPrefix(filepath.Base(at), "."); {
		case ctx.Err() != nil:
			return fs.SkipAll
		case err != nil:
			b.fault(bulkFault{File: at, Why: err.Error()})
		case hidden && d.IsDir():
			return fs.SkipDir
		case !hidden && !d.IsDir():
			files <- at
		}
		return nil
	})
	if err != nil {
		b.fault(bulkFault{File: path, Why: err.Error()})
	}
}

// read gives the proofs of one file.
func (b *bulk) read(file string, buf []byte, to chan<- piece) {
	b.mu.Lock()
	b.sum.Files++
	b.mu.Unlock()
	f, err := os.Open(file)
	if err != nil {
		b.fault(bulkFault{File: file, Why: err.Error()})
		return
	}
	defer f.Close()
	n, err := io.ReadFull(f, buf)
	head := buf[:n]
	switch whole := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); {
	case err != nil && !whole:
		b.fault(bulkFault{File: file, Why: err.Error()})
	case bytes.HasPrefix(head, []byte(proof.BundleHeader+"\n")):
		b.many(file, io.MultiReader(bytes.NewReader(head), f), to)
	case whole:
		to <- piece{file: file, raw: bytes.Clone(head)}
	default:
		rest, err := io.ReadAll(io.LimitReader(f, proof.MaxFile))
		if err != nil {
			b.fault(bulkFault{File: file, Why: err.Error()})
			return
		}
		to <- piece{file: file, raw: append(bytes.Clone(head), rest...)}
	}
}

// many gives the proofs of a file of many. Where their checkpoint does not hold none of them does, and that is said once.
func (b *bulk) many(file string, r io.Reader, to chan<- piece) {
	list, err := proof.NewBundleReader(r)
	if err == nil {
		if _, e := b.once.Open(list.Checkpoint()); e != nil {
			err = fmt.Errorf("checkpoint of all its proofs: %w", e)
		}
	}
	for n := uint64(1); err == nil; n++ {
		var raw []byte
		if raw, err = list.Next(); err == nil {
			to <- piece{file, n, raw, list.Checkpoint()}
		}
	}
	var unread *fs.PathError
	if !errors.Is(err, io.EOF) {
		b.fault(bulkFault{File: file, Checked: !errors.As(err, &unread), Why: err.Error()})
	}
}

// check judges one proof by the same code that judges a single file.
func (b *bulk) check(p piece) {
	e, err := b.judge(p)
	if err != nil {
		b.fault(bulkFault{File: p.file, Proof: p.n, Checked: true, Why: err.Error()})
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Holds++
	if e.Kind == audit.KindReceipt {
		b.sum.Receipts++
	}
	if e.Time.IsZero() {
		return // a proof of consistency has no entry
	}
	if b.sum.From.IsZero() || e.Time.Before(b.sum.From) {
		b.sum.From = e.Time
	}
	if e.Time.After(b.sum.To) {
		b.sum.To = e.Time
	}
}

func (b *bulk) judge(p piece) (e audit.Entry, err error) {
	switch {
	case p.n > 0:
		var one proof.Entry
		if one, err = proof.ParseBundled(p.raw, p.checkpoint); err == nil {
			e, _, err = audit.Proved(one, b.once)
		}
	case bytes.HasPrefix(p.raw, []byte(proof.ConsistencyHeader)):
		var c proof.Consistency
		if c, err = proof.ParseConsistency(p.raw); err == nil {
			_, _, err = c.Verify(b.keys)
		}
	default:
		e, _, err = audit.ReadProof(p.raw, b.once)
	}
	return e, err
}

// fault counts and names one.
func (b *bulk) fault(f bulkFault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	word := "BAD   "
	if f.Checked {
		b.sum.Bad++
	} else {
		b.sum.Unread++
		word = "UNREAD"
	}
	if b.json {
		json.NewEncoder(b.out).Encode(f)
		return
	}
	at := f.File
	if f.Proof > 0 {
		at = fmt.Sprintf("%s: proof %d", at, f.Proof)
	}
	fmt.Fprintf(b.out, "%s     %s: %s\n", word, at, f.Why)
}

// end shows the sums and gives the exit code.
func (b *bulk) end(origin string) error {
	t := &b.sum
	t.Proofs = t.Holds + t.Bad
	if b.json {
		if err := json.NewEncoder(b.out).Encode(t); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(b.out, "log        %s\nproofs     %d in %d files, %d of them of receipts\nfrom       %s\nto         %s\ntook       %.2f s, %.0f a second\n",
			origin, t.Proofs, t.Files, t.Receipts, clock(t.From), clock(t.To), t.Seconds, float64(t.Proofs)/max(t.Seconds, 1e-3))
	}
	switch {
	case t.Bad > 0:
		return coded{fmt.Errorf("%d proofs or files do not hold, %d hold", t.Bad, t.Holds), notHeld}
	case t.Unread > 0:
		return fmt.Errorf("%d files or folders could not be read; %d proofs hold", t.Unread, t.Holds)
	case t.Holds == 0:
		return withHint(errors.New("no proof was found"), "name files that cordon verify --export or cordon export proofs wrote, or a folder of them")
	case !b.json:
		fmt.Fprintf(b.out, "holds      every one of them\n")
	}
	return nil
}
