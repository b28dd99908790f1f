// SPDX-License-Identifier: Apache-2.0

// Command verify_log checks a ledger's published files with code that is not Jinsuo's: Go's x/mod/sumdb packages,
// which the Go project uses for its own checksum database.
//
//	verify_log LEDGER_FOLDER VKEY [older-checkpoint | tlog-proof]...
//
// It checks the signature on `checkpoint`; every hash tile against its root; that every entry of the bundles has the
// leaf hash that the tiles say, and is included under the root; that the log is consistent with smaller sizes, and with
// each older checkpoint given; and each tlog-proof given (the entry is taken from the bundles). It exits 0 if all holds,
// 1 with one sentence if not, 2 on wrong usage.
//
// The only thing made up here is the path of a tile: C2SP tlog-tiles leaves out the height, which is always 8.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: verify_log LEDGER_FOLDER VKEY [older-checkpoint | tlog-proof]...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "verify_log:", err)
		os.Exit(1)
	}
}

func run(folder, vkey string, files []string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("the key: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := openCheckpoint(raw, verifier)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if tree.N == 0 {
		fmt.Println("ok: an empty log")
		return nil
	}
	tiles := &folderTiles{folder: folder, read: map[string]bool{}}
	reader := tlog.TileHashReader(tree, tiles)
	entries, err := readEntries(folder, tree.N)
	if err != nil {
		return err
	}
	if err := checkTiles(tree, reader, entries); err != nil {
		return err
	}
	memory, err := checkInclusion(tree, reader, entries)
	if err != nil {
		return err
	}
	if err := checkSizes(tree, reader, memory); err != nil {
		return err
	}
	for _, name := range files {
		if err := checkFile(name, tree, reader, entries, verifier); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fmt.Printf("ok: %d entries, %d hash tiles, %d files beside them\n", tree.N, len(tiles.read), len(files))
	return nil
}

// openCheckpoint verifies the signature and reads the three lines of a C2SP checkpoint.
func openCheckpoint(raw []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("bad size %q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, err
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

// folderTiles reads hash tiles from a folder of C2SP paths.
type folderTiles struct {
	folder string
	read   map[string]bool
}

func (f *folderTiles) Height() int { return height }

func (f *folderTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (f *folderTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		content, err := f.readTile(tile)
		if err != nil {
			return nil, err
		}
		data[i] = content
	}
	return data, nil
}

func (f *folderTiles) readTile(tile tlog.Tile) ([]byte, error) {
	path := c2spPath(tile)
	content, err := os.ReadFile(filepath.Join(f.folder, path))
	if errors.Is(err, fs.ErrNotExist) && tile.W < 1<<height {
		full := tile
		full.W = 1 << height
		path = c2spPath(full)
		content, err = os.ReadFile(filepath.Join(f.folder, path))
	}
	if err != nil {
		return nil, err
	}
	f.read[path] = true
	if len(content)%tlog.HashSize != 0 || len(content) < tile.W*tlog.HashSize {
		return nil, fmt.Errorf("%s has %d bytes", path, len(content))
	}
	return content[:tile.W*tlog.HashSize], nil
}

// c2spPath turns tile/8/<L>/<N> into tile/<L>/<N>, and the level -1 of data into `entries`.
func c2spPath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
	return "tile/" + strings.Replace(path, "data/", "entries/", 1)
}

// readEntries reads all entry bundles: u16be length, entry.
func readEntries(folder string, size int64) ([][]byte, error) {
	var entries [][]byte
	for n := int64(0); n*(1<<height) < size; n++ {
		width := size - n*(1<<height)
		if width > 1<<height {
			width = 1 << height
		}
		path := c2spPath(tlog.Tile{H: height, L: -1, N: n, W: int(width)})
		data, err := os.ReadFile(filepath.Join(folder, path))
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("%s ends within entry %d", path, i)
			}
			length := int(binary.BigEndian.Uint16(data))
			entries = append(entries, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("%s has %d bytes after its last entry", path, len(data))
		}
	}
	return entries, nil
}

// checkTiles reads every hash of every level from the tiles, which the reader authenticates against the root, and
// compares those of level 0 with the entries.
func checkTiles(tree tlog.Tree, reader tlog.HashReader, entries [][]byte) error {
	const step = 1 << height
	for level := 0; tree.N>>uint(height*level) > 0; level++ {
		count := tree.N >> uint(height*level)
		for start := int64(0); start < count; start += step {
			var indexes []int64
			for n := start; n < count && n < start+step; n++ {
				indexes = append(indexes, tlog.StoredHashIndex(height*level, n))
			}
			hashes, err := reader.ReadHashes(indexes)
			if err != nil {
				return fmt.Errorf("tiles of level %d from hash %d: %w", level, start, err)
			}
			for i := 0; level == 0 && i < len(hashes); i++ {
				if hashes[i] != tlog.RecordHash(entries[start+int64(i)]) {
					return fmt.Errorf("entry %d has another hash than its tile says", start+int64(i))
				}
			}
		}
	}
	return nil
}

// checkInclusion computes the whole tree from the entries and proves each of them, and some by the tiles as well.
func checkInclusion(tree tlog.Tree, reader tlog.HashReader, entries [][]byte) (tlog.HashReader, error) {
	var stored []tlog.Hash
	memory := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for i, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, memory)
		if err != nil {
			return nil, err
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(tree.N, memory)
	if err != nil || root != tree.Hash {
		return nil, fmt.Errorf("the entries give the root %v, the checkpoint says %v (%v)", root, tree.Hash, err)
	}
	for i, entry := range entries {
		readers := []tlog.HashReader{memory}
		if i%997 == 0 || i == len(entries)-1 {
			readers = append(readers, reader)
		}
		for _, each := range readers {
			proof, err := tlog.ProveRecord(tree.N, int64(i), each)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", i, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(entry)); err != nil {
				return nil, fmt.Errorf("entry %d is not included: %w", i, err)
			}
		}
	}
	return memory, nil
}

// checkSizes proves by the tiles that the log continues its own smaller sizes.
func checkSizes(tree tlog.Tree, reader, memory tlog.HashReader) error {
	for _, old := range []int64{1, 2, 255, 256, 257, tree.N / 3, tree.N / 2, tree.N - 1, tree.N} {
		if old < 1 || old > tree.N {
			continue
		}
		root, err := tlog.TreeHash(old, memory)
		if err != nil {
			return err
		}
		if err := checkConsistency(tree, reader, tlog.Tree{N: old, Hash: root}); err != nil {
			return err
		}
	}
	return nil
}

func checkConsistency(tree tlog.Tree, reader tlog.HashReader, old tlog.Tree) error {
	if old.N == 0 {
		return nil
	}
	proof, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return fmt.Errorf("size %d: %w", old.N, err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("%d entries do not continue %d: %w", tree.N, old.N, err)
	}
	return nil
}

// checkFile checks an older checkpoint of the log, or a tlog-proof of one of its entries.
func checkFile(name string, tree tlog.Tree, reader tlog.HashReader, entries [][]byte, verifier note.Verifier) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(raw, []byte("c2sp.org/tlog-proof@v1\n")) {
		old, err := openCheckpoint(raw, verifier)
		if err != nil {
			return err
		}
		return checkConsistency(tree, reader, old)
	}
	head, checkpoint, found := bytes.Cut(raw, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 2 {
		return fmt.Errorf("not a tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil || index < 0 || index >= int64(len(entries)) {
		return fmt.Errorf("bad index line %q", lines[1])
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return fmt.Errorf("bad hash line %q", line)
		}
		var value tlog.Hash
		copy(value[:], hash)
		proof = append(proof, value)
	}
	under, err := openCheckpoint(checkpoint, verifier)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, under.N, under.Hash, index, tlog.RecordHash(entries[index])); err != nil {
		return err
	}
	return checkConsistency(tree, reader, under)
}
