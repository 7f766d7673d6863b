// The list of messages: in order, grouped by day, and by author within a few minutes.

const GROUP_MS = 5 * 60 * 1000
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' })
const dayFormatWithYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' })
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

const dayOf = (ms) => new Date(ms).toDateString()

function dayName(ms) {
  const date = new Date(ms)
  const today = new Date()
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1)
  if (date.toDateString() === today.toDateString()) return 'Today'
  if (date.toDateString() === yesterday.toDateString()) return 'Yesterday'
  return (date.getFullYear() === today.getFullYear() ? dayFormat : dayFormatWithYear).format(date)
}

function element(name, className, text) {
  const node = document.createElement(name)
  node.className = className
  if (text !== undefined) node.textContent = text
  return node
}

export class Transcript {
  #list
  #scroll
  #empty
  #messages = new Map()
  #atEnd = true

  constructor({ list, scroll, empty }) {
    this.#list = list
    this.#scroll = scroll
    this.#empty = empty
    // Whoever reads the end keeps reading the end when the window or the composer changes its size.
    scroll.addEventListener('scroll', () => {
      this.#atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40
    })
    new ResizeObserver(() => this.#atEnd && this.#toEnd()).observe(scroll)
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight
    this.#atEnd = true
  }

  // Adds earlier messages above the others and keeps what is on screen in its place.
  prepend(messages) {
    const { scrollHeight, scrollTop } = this.#scroll
    const first = this.#messages.size === 0
    for (const message of messages) this.#messages.set(message.id, message)
    this.#render()
    if (first) this.#toEnd()
    else this.#scroll.scrollTop = scrollTop + this.#scroll.scrollHeight - scrollHeight
  }

  // Adds a message that was just kept; one that is already there is left alone.
  append(message) {
    if (this.#messages.has(message.id)) return
    const newest = Math.max(0, ...this.#messages.keys())
    this.#messages.set(message.id, message)
    if (message.id < newest) this.#render()
    else {
      const before = this.#messages.get(newest)
      for (const node of this.#nodes(message, before)) {
        node.classList.add('new')
        this.#list.append(node)
      }
    }
    this.#empty.hidden = true
    this.#toEnd()
  }

  // The transcript has been loaded: from now on new messages are announced.
  ready() {
    this.#empty.hidden = this.#messages.size > 0
    this.#list.setAttribute('aria-live', 'polite')
  }

  #render() {
    const ordered = [...this.#messages.values()].sort((a, b) => a.id - b.id)
    const nodes = ordered.flatMap((message, i) => this.#nodes(message, ordered[i - 1]))
    this.#list.replaceChildren(...nodes)
  }

  #nodes(message, before) {
    const newDay = !before || dayOf(before.sentAt) !== dayOf(message.sentAt)
    const sameGroup = !newDay && before.author === message.author && message.sentAt - before.sentAt < GROUP_MS
    // All that is here was written on this computer: it stands on the right.
    const item = element('li', 'message mine')
    item.dataset.id = message.id
    item.classList.toggle('first', !sameGroup)

    const meta = element('div', 'meta')
    const time = element('time', '', timeFormat.format(message.sentAt))
    time.dateTime = new Date(message.sentAt).toISOString()
    meta.append(element('b', '', message.author), ' ', time)
    const text = element('div', 'bubble', message.text)
    text.dir = 'auto'
    item.append(meta, text)
    return newDay ? [element('li', 'day', dayName(message.sentAt)), item] : [item]
  }
}
