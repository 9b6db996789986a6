package query

import (
	"container/list"
	"context"
	"runtime/debug"
	"sync"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

const (
	// maxCacheSize limits the memory of the cached blocks, in bytes.
	maxCacheSize = 64 << 20
	// cacheShare is which part of the memory limit of Go's runtime they may take: an eighth.
	cacheShare = 8
	// entrySize is what a block takes besides its own memory: cached, the element of the list, and its share of a map from which
	// much was deleted, of which less than half is in use.
	entrySize = 180
	// readAhead is how many blocks are read from the source at a time.
	readAhead = 48
	// readersAtOnce leaves most of the store's connections to the refresh.
	readersAtOnce = 2
)

// cache keeps the most recently used blocks. A block is dropped when anything is saved about its account.
type cache struct {
	source  Source
	readers chan struct{} // bounds reading at a time
	most    int           // bytes

	mu     sync.Mutex
	mark   store.Mark // up to which the blocks are up to date
	blocks map[blockKey]*list.Element
	byUse  *list.List // of *cached, the latest used first
	size   int
}

type blockKey struct {
	appID  string
	api    datacube.API
	number int32
}

type cached struct {
	key   blockKey
	block *block
}

func (c *cached) size() int { return entrySize + c.block.size() }

func newCache(source Source) *cache {
	return &cache{
		source: source, readers: make(chan struct{}, readersAtOnce), most: cacheSize(),
		blocks: make(map[blockKey]*list.Element), byUse: list.New(),
	}
}

// cacheSize returns the limit of this process.
func cacheSize() int {
	const asItIs = -1
	return int(min(maxCacheSize, debug.SetMemoryLimit(asItIs)/cacheShare))
}

// read runs work that reads from the source; only a few of these run at a time.
func (c *cache) read(ctx context.Context, work func() error) error {
	select {
	case c.readers <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.readers }()
	return work()
}

// update drops the blocks of all accounts about which something was saved, so that a query that starts now sees it.
func (c *cache) update(ctx context.Context) error {
	c.mu.Lock()
	mark := c.mark
	c.mu.Unlock()
	var changed []string
	var latest store.Mark
	err := c.read(ctx, func() error {
		var err error
		changed, latest, err = c.source.Changed(ctx, mark)
		return err
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if latest < mark { // the store is another one than before
		c.clear()
		return nil
	}
	if latest == mark {
		return nil
	}
	accounts := make(map[string]bool, len(changed))
	for _, appID := range changed {
		accounts[appID] = true
	}
	for key, element := range c.blocks {
		if accounts[key.appID] {
			c.drop(element)
		}
	}
	c.mark = max(c.mark, latest) // another query may have gone further in the meantime
	return nil
}

// clear drops all blocks; those that are being read at the moment will not be cached. The caller holds the lock.
func (c *cache) clear() {
	c.blocks = make(map[blockKey]*list.Element)
	c.byUse.Init()
	c.size, c.mark = 0, 0
}

func (c *cache) drop(element *list.Element) {
	dropped, ok := c.byUse.Remove(element).(*cached)
	if ok {
		delete(c.blocks, dropped.key)
		c.size -= dropped.size()
	}
}

// get returns a block if it is cached.
func (c *cache) get(key blockKey) (*block, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.blocks[key]
	if !ok {
		return nil, false
	}
	c.byUse.MoveToFront(element)
	found, ok := element.Value.(*cached)
	return found.block, ok
}

func (c *cache) has(key blockKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.blocks[key]
	return ok
}

// put caches a block that was read when the mark was the given one, unless its account may have changed since.
func (c *cache) put(key blockKey, b *block, mark store.Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.blocks[key]; ok || mark != c.mark {
		return
	}
	kept := &cached{key, b}
	c.blocks[key] = c.byUse.PushFront(kept)
	c.size += kept.size()
	for c.size > c.most {
		c.drop(c.byUse.Back())
	}
}

// span is the blocks that a query reads: a range of numbers for each of the accounts.
type span struct {
	api         datacube.API
	accounts    []*Account
	first, last int32
}

// block returns a block of the span, for the account with the index i. If it is not cached, the blocks that the query needs
// next are read with it.
func (c *cache) block(ctx context.Context, s *span, i int, number int32) (*block, error) {
	key := blockKey{s.accounts[i].AppID, s.api, number}
	if b, ok := c.get(key); ok {
		return b, nil
	}
	c.mu.Lock()
	mark := c.mark
	c.mu.Unlock()
	last := number
	for last < s.last && last-number+1 < readAhead && !c.has(blockKey{key.appID, s.api, last + 1}) {
		last++
	}
	accounts := []string{key.appID}
	whole := number == s.first && last == s.last
	for i++; whole && i < len(s.accounts) && (len(accounts)+1)*int(last-number+1) <= readAhead; i++ {
		if appID := s.accounts[i].AppID; !c.has(blockKey{appID, s.api, number}) {
			accounts = append(accounts, appID)
		}
	}
	found := make(map[blockKey]*block)
	err := c.read(ctx, func() error {
		return readBlocks(ctx, c.source, s.api, accounts, number, last, func(key blockKey, b *block) { found[key] = b })
	})
	if err != nil {
		return nil, err // days may be missing in what was read
	}
	for key, b := range found {
		c.put(key, b, mark)
	}
	return found[key], nil
}

// readBlocks reads all blocks from first to last of the accounts.
func readBlocks(ctx context.Context, source Source, api datacube.API, accounts []string, first, last int32, each func(blockKey, *block)) error {
	from, to := blockRange(api, first, last)
	return source.ReadFigures(ctx, func(reader *store.FigureReader) error {
		var builder blockBuilder
		for _, appID := range accounts {
			next := first // the block that is being built
			for day, err := range reader.Figures(store.FigureQuery{API: api, Accounts: []string{appID}, From: from, To: to}) {
				if err != nil {
					return err
				}
				for ; next < blockOf(api, day.Date); next++ {
					each(blockKey{appID, api, next}, builder.build())
				}
				builder.add(&day)
			}
			for ; next <= last; next++ {
				each(blockKey{appID, api, next}, builder.build())
			}
		}
		return nil
	})
}
