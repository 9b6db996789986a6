package refresh

import "container/heap"

// queue is a heap of accounts.
type queue struct {
	accounts []*account
	less     func(a, b *account) bool
}

// byUrgency orders healthy accounts before suspect ones, and then by the urgency of their calls.
func byUrgency(a, b *account) bool {
	if a.suspect() != b.suspect() {
		return b.suspect()
	}
	if a.next != b.next {
		return a.next.before(b.next)
	}
	return a.index < b.index
}

// byWake orders accounts by when to plan them again; those that wait for the next regular planning come last.
func byWake(a, b *account) bool {
	if a.wake.IsZero() || b.wake.IsZero() {
		return !a.wake.IsZero()
	}
	return a.wake.Before(b.wake)
}

// Len, Less, Swap, Push and Pop implement heap.Interface.

func (q *queue) Len() int           { return len(q.accounts) }
func (q *queue) Less(i, j int) bool { return q.less(q.accounts[i], q.accounts[j]) }
func (q *queue) Swap(i, j int)      { q.accounts[i], q.accounts[j] = q.accounts[j], q.accounts[i] }
func (q *queue) Push(x any)         { q.accounts = append(q.accounts, x.(*account)) }

func (q *queue) Pop() any {
	last := len(q.accounts) - 1
	a := q.accounts[last]
	q.accounts[last] = nil
	q.accounts = q.accounts[:last]
	return a
}

func (q *queue) add(a *account) { heap.Push(q, a) }

// take removes and returns the first account.
func (q *queue) take() *account {
	return heap.Pop(q).(*account)
}

// first returns the first account, nil if there is none.
func (q *queue) first() *account {
	if len(q.accounts) == 0 {
		return nil
	}
	return q.accounts[0]
}

func (q *queue) clear() {
	clear(q.accounts)
	q.accounts = q.accounts[:0]
}
