/*
 * A screen: every folder in --plates is a plate; each gets a run's folder in --runs, all get one table of wells.
 *
 *     nextflow run workflows/nextflow --plates SCREEN --runs RUNS --channel DAPI
 *
 * The same command again goes on with plates that were not finished; with -resume it leaves out those that were.
 */

include { NUCBATCH ; GATHER } from './nucbatch.nf'

workflow {
    def runs = file(params.runs).toAbsolutePath().toString()
    def plates = channel.fromPath("${params.plates}/*", type: 'dir', checkIfExists: true)

    NUCBATCH(plates, runs)

    // A plate that could not be done is not in the table; Nextflow has named it and fails in the end.
    def done = NUCBATCH.out.wells.map { name, _table -> name }.collect()
    GATHER(done, runs)
    GATHER.out.failures.view()
}
