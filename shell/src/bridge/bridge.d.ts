// What a page finds in `window.bridge`. docs/bridge.md says it in words; a test of the shell holds both against the program.

/**
 * The app's own commands: what each takes and answers. Say yours in a file of your own:
 * `interface BridgeCommands { greet: { args: { name: string }; result: string } }`
 */
interface BridgeCommands {}

/** The app's own events: what each carries. Say yours in a file of your own. */
interface BridgeEvents {
  /** The app was opened by a link `<name>://…`, which this is. */
  'deep-link': string
}

/** What an event of the updater carries; all say their `name`. */
interface PearEvents {
  /** The link grew; it is looked at within `delay` milliseconds. */
  'update-scheduled': { name: 'update-scheduled'; delay: number }
  /** A newer version is being fetched. */
  updating: { name?: 'updating'; nextVersion: string }
  /** A file of it is here. */
  'updating-delta': {
    name: 'updating-delta'
    op: 'add' | 'change' | 'remove'
    /** Path on the drive. */
    key: string
    /** Bytes of this file. */
    bytesAdded: number
    /** Bytes so far, and of the whole. */
    bytes: number
    totalBytes: number
  }
  /** A newer version is whole here: `applyUpdate()` puts it in place. Told again to a page that was loaded later. */
  updated: { name?: 'updated'; nextVersion: string; length?: number; fork?: number }
  /** The history of the link was rewritten by whoever has its key. */
  forked: { name: 'forked'; fork: number; before: number }
  /** Something failed, in a sentence for a person; it is tried again by itself where that can help. */
  error: { name?: 'error'; message: string; code?: string }
}

/** Where the updater is. */
interface UpdaterState {
  /** The running version. */
  version: string
  /** Whether updates are looked for at all. */
  enabled: boolean
  /** A newer version is being fetched. */
  updating: boolean
  /** A newer version is whole here. */
  updated: boolean
  /** It was put in place; the next start runs it. */
  applied: boolean
  /** The version that is being fetched, or is here. */
  nextVersion?: string | null
  /** A version that did not start here before: it is tried again only by `retryUpdate()`. */
  takenBack?: string | null
  /** When a peer was last there that had the link as far as it was known, in milliseconds since 1970. */
  lastContact?: number | null
  /** What failed last, if nothing went well since. */
  lastError?: string | null
}

/** What the promises of the bridge are rejected with: a whole sentence, and a constant to tell errors apart by. */
interface BridgeError extends Error {
  code?:
    | 'BAD_ARGUMENTS'
    | 'BAD_RESULT'
    | 'CLOSING'
    | 'COMMAND_PANICKED'
    | 'SETUP_FAILED'
    | 'UNKNOWN_COMMAND'
    | 'UPDATE_FAILED'
    | 'WORKER_FAILED'
    | 'WORKER_MISSING'
    | 'WORKER_NOT_EXECUTABLE'
    | 'WORKER_NOT_RUNNING'
    | (string & {})
}

/** Takes the listener off again. */
type Unlisten = () => void

interface Bridge {
  /** The app's package.json, a copy. */
  pkg(): { name: string; version: string; productName?: string; upgrade?: string; [field: string]: unknown }
  /** Runs a command of the app's program. */
  invoke<Name extends keyof BridgeCommands>(
    command: Name,
    args: BridgeCommands[Name] extends { args: infer Args } ? Args : unknown
  ): Promise<BridgeCommands[Name] extends { result: infer Result } ? Result : unknown>
  invoke(command: string, args?: unknown): Promise<any>
  /** Hears of an event of the app's program. */
  on<Name extends keyof BridgeEvents>(name: Name, listener: (data: BridgeEvents[Name]) => void): Unlisten
  on(name: string, listener: (data: any) => void): Unlisten
  /** Hears of an event of the updater. */
  onPearEvent<Name extends keyof PearEvents>(name: Name, listener: (name: Name, data: PearEvents[Name]) => void): Unlisten
  /** Where the updater is. */
  updaterState(): Promise<UpdaterState>
  /** Puts the newer version in place; false if there is none. */
  applyUpdate(): Promise<boolean>
  /** Has a version installed again that was taken back because it did not start; false if there was none. */
  retryUpdate(): Promise<boolean>
  /** Ends the app and starts it again: the newer version, if one was put in place. */
  appAfterUpdate(): Promise<void>
  /** Starts a program of the app, `/workers/name`, unless it runs already. */
  startWorker(spec: string): Promise<true>
  /** Writes to its standard input. */
  writeWorkerIPC(spec: string, data: string | ArrayBuffer | ArrayBufferView | number[]): Promise<true>
  /** Hears what it writes to its standard output. */
  onWorkerIPC(spec: string, listener: (data: Uint8Array) => void): Unlisten
  /** As upstream has it; what a worker prints comes by `onWorkerIPC`. */
  onWorkerStdout(spec: string, listener: (data: Uint8Array) => void): Unlisten
  /** Hears what it writes to its standard error. */
  onWorkerStderr(spec: string, listener: (data: Uint8Array) => void): Unlisten
  /** Hears of its end; null if a signal ended it. */
  onWorkerExit(spec: string, listener: (code: number | null) => void): Unlisten
  /** Copies a text. */
  writeClipboard(text: string): Promise<void>
}

interface Window {
  readonly bridge: Readonly<Bridge>
}
