// Records invites, requests and answers of npm blind-pairing-core: node blind-pairing.js > ../blind-pairing/messages.json
// Run where `blind-pairing-core` can be required.
const b4a = require('b4a')
const { CandidateRequest, MemberRequest, createInvite, createReceipt, decodeInvite, verifyReceipt } = require('blind-pairing-core')

const hex = (buffer) => buffer && b4a.toString(buffer, 'hex')
const key = b4a.alloc(32, 7)
const encryptionKey = b4a.alloc(32, 9)
const nodes = [{ host: '88.99.3.86', port: 49737 }, { host: '10.0.0.1', port: 1 }, { host: '100.64.0.1', port: 2 }, { host: '172.32.0.1', port: 3 }, { host: '198.51.100.7', port: 4 }]

const cases = [
  [{}, 'data', null],
  [{ expires: 1700000000999 }, 'x', {}],
  [{ sensitive: true, testInvitation: true, additionalNodes: nodes }, 'a longer text of a candidate, ü', { encryptionKey }],
  [{ data: b4a.from('signed by the maker') }, 'd', { encryptionKey, additional: true }],
  [{ additionalNodes: [], expires: 5000 }, 'e', { additional: true, data: b4a.from('more') }]
].map(([options, text, answer], number) => {
  const seed = b4a.alloc(32, number + 1)
  const made = createInvite(key, { seed, ...options })
  const userData = b4a.from(text)
  const candidate = new CandidateRequest(made.invite, userData)
  const request = candidate.encode()
  const member = MemberRequest.from(request)
  member.open(made.publicKey)
  const additional = made.additional
  const grant = { key, ...(answer || {}), additional: answer && answer.additional ? additional : null }
  member.confirm(grant)
  const auth = candidate.handleResponse(member.response)
  const denials = [1, 2, 3].map((status) => {
    const again = MemberRequest.from(request)
    again.open(made.publicKey)
    again.deny({ status })
    return hex(again.response)
  })
  const { receipt } = createReceipt(made.invite, userData)
  const read = decodeInvite(made.invite)
  return {
    seed: hex(seed),
    invite: hex(made.invite),
    inviteId: hex(made.id),
    publicKey: hex(made.publicKey),
    discoveryKey: hex(made.discoveryKey),
    expires: read.expires / 1000,
    sensitive: read.sensitive,
    test: read.testInvitation,
    nodes: read.additionalNodes && read.additionalNodes.map(({ host, port }) => `${host}:${port}`),
    givenNodes: options.additionalNodes ? options.additionalNodes.map(({ host, port }) => `${host}:${port}`) : null,
    userData: hex(userData),
    token: hex(b4a.from(new CandidateRequest(made.invite, userData).token)),
    requestId: hex(candidate.id),
    request: hex(request),
    additional: additional && { data: hex(additional.data), signature: hex(additional.signature) },
    encryptionKey: hex(grant.encryptionKey) || null,
    withAdditional: grant.additional !== null && grant.additional !== undefined,
    response: hex(member.response),
    grant: { key: hex(auth.key), encryptionKey: hex(auth.encryptionKey), data: hex(auth.data) },
    denials,
    receipt: hex(receipt),
    verified: hex(verifyReceipt(receipt, made.publicKey))
  }
})
console.log(JSON.stringify(cases, null, 1))
